"""The SDK's client, set up so that a key goes only to the host that the operator chose.

The SDK follows redirects, and a header of ours would go along to another host. It also retries by
itself, which pays for some things twice; here the caller decides about retries. Requests for
inference, which are many and small, do not use it: see `http_client`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx2
import openai
from openai.lib.azure import AzureOpenAI

from ..access import Endpoint
from .bounded_responses import BoundedClient
from .dialect import OPENAI, Dialect

CONNECT_SECONDS = 10.0
"""The longest that a connection may take to be made."""


def open_client(
    endpoint: Endpoint, dialect: Dialect = OPENAI, *, timeout: float = 60.0
) -> openai.OpenAI:
    """A client that retries nothing and follows no redirect; `timeout` in seconds.

    Raises AccessError when the key is missing or the address is none.
    """
    options = _options(endpoint, dialect, timeout)
    http = BoundedClient(timeout=options["timeout"])
    if dialect.key_header is not None:
        http.event_hooks = {"request": [_drop_bearer]}
    if _has_older_addresses(endpoint, dialect):
        return AzureOpenAI(**options, http_client=http)
    return openai.OpenAI(**options, http_client=http)


def address_of(
    endpoint: Endpoint, path: str, model: str, dialect: Dialect = OPENAI, *, timeout: float = 60.0
) -> tuple[str, dict[str, str], httpx2.Timeout]:
    """Where and how the SDK would send JSON: the URL of `path`, such as `chat/completions`, the
    headers, which hold the key, and its timeout. Raises AccessError as `open_client` does."""
    options = _options(endpoint, dialect, timeout)
    with open_client(endpoint, dialect, timeout=timeout) as sdk:
        base, usual = str(sdk.base_url).rstrip("/"), sdk.default_headers
    # With what the environment adds, such as an organization or a gateway's own headers.
    headers = httpx2.Headers({k: v for k, v in usual.items() if isinstance(v, str)})
    headers["Content-Type"] = "application/json"
    if dialect.key_header is not None:
        headers.pop("Authorization", None)
        headers[dialect.key_header] = options["api_key"]
    else:
        headers.setdefault("Authorization", f"Bearer {options['api_key']}")
    url = f"{base}/{path}"
    if _has_older_addresses(endpoint, dialect):
        version = quote(endpoint.api_version or "", safe="")
        url = f"{base}/deployments/{quote(model, safe='')}/{path}?api-version={version}"
    return url, dict(headers), options["timeout"]


def _options(endpoint: Endpoint, dialect: Dialect, timeout: float) -> dict[str, Any]:
    key = dialect.key(endpoint)
    options: dict[str, Any] = {
        "api_key": key,
        "max_retries": 0,
        "timeout": httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
    }
    url = dialect.address(endpoint)
    path, (stem, _, form) = url.path.rstrip("/"), dialect.root.rpartition("/")
    if _has_older_addresses(endpoint, dialect):
        path = path.removesuffix(f"/{form}").removesuffix(stem)
        where = {"azure_endpoint": url._replace(path=path).geturl()}
        return {**options, **where, "api_version": endpoint.api_version}
    # Always given, for the SDK would look into the environment by itself.
    options["base_url"] = url.geturl()
    if dialect.root:
        # An address as the provider's pages show it has not yet the form of the API.
        path = dialect.root if path in ("", stem) else path
        options["base_url"] = url._replace(path=path + "/").geturl()
    if dialect.key_header is not None:
        options["default_headers"] = {dialect.key_header: key}
    return options


def _drop_bearer(request: httpx2.Request) -> None:
    # The SDK insists on it, and Azure reads a bearer token as one of Entra ID, not as a key.
    request.headers.pop("authorization", None)


def _has_older_addresses(endpoint: Endpoint, dialect: Dialect) -> bool:
    return dialect.deployments and endpoint.api_version is not None
