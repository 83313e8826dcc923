"""The servers that speak OpenAI's protocol, and how each differs from the others: one table.

Code that sends or reads requests follows it, not a trainer's name; each entry is a trainer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from ...core.errors import AccessError
from ..access import Endpoint

OPENAI_URL = "https://api.openai.com/v1"

_GIB, _MIB = 1024**3, 1024**2


@dataclass(frozen=True)
class Dialect:
    """How a trainer's server is reached and asked, and what it takes.

    trainer:      the trainer's name
    title:        for people, one line
    provider:     who answers there, for people
    variables:    of the environment, by the field of `Endpoint`; those for people, too
    home:         the base URL when the operator sets none; None: it must be set
    no_home:      what to set then, for people
    root:         the path of the API where an address has none
    key_header:   which holds the key; None: it is a bearer token
    batch_root:   begins the paths that a batch's requests name; None: it takes no batches
    deployments:  a tuned model is asked under the name of its deployment, which the older form of
                  addresses (`Endpoint.api_version`) holds, too
    suffix:       characters of a tuned model's suffix, at most; suffix_dots: it may have dots
    file_bytes:   of one training file, at most
    marks_files:  training files begin with a byte order mark
    extra_body:   what goes along with every request, below what the operator sets there; also
                  `legacy_hyperparameters` and `hyperparameters`, see `training_options`
    console:      addresses for people, with {} for the id, of a `job`, a `file` and a `batch`
    """

    trainer: str
    title: str = ""
    provider: str = "OpenAI"
    variables: Mapping[str, str] = field(default_factory=dict)
    home: str | None = OPENAI_URL
    no_home: str = ""
    root: str = ""
    key_header: str | None = None
    batch_root: str | None = "/v1"
    deployments: bool = False
    suffix: int = 64
    suffix_dots: bool = True
    file_bytes: int = 8 * _GIB
    marks_files: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    console: Mapping[str, str] = field(default_factory=dict)

    @property
    def key_variable(self) -> str | None:
        return self.variables.get("api_key")

    def extended(self, endpoint: Endpoint) -> Endpoint:
        """With the fields that every request to this server has."""
        return replace(endpoint, extra_body={**self.extra_body, **endpoint.extra_body})

    def console_url(self, host: str, what: str, name: str) -> str | None:
        """Where people see a job, file or batch of that id; None: it is at another host, or there
        is no such page."""
        page = self.console.get(what)
        if page is None or self.home is None or host != urlsplit(self.home).netloc:
            return None
        return page.format(quote(name, safe=""))

    def check(self, endpoint: Endpoint) -> None:
        """Raises AccessError when the key is missing or the address is none. Loads no SDK."""
        self.key(endpoint)
        self.address(endpoint)

    def host(self, endpoint: Endpoint) -> str:
        """The host that is asked, with its port unless it is the usual one: `api.openai.com`.

        Raises AccessError when the address is none.
        """
        url = self.address(endpoint)
        usual = ":443" if url.scheme == "https" else ":80"
        return url.netloc.lower().removesuffix(usual)

    def address(self, endpoint: Endpoint) -> SplitResult:
        """The base URL, as it was given. Raises AccessError when it is none."""
        given = endpoint.base_url or self.home
        if given is None:
            raise AccessError(f"There is no address of the trainer {self.trainer}. {self.no_home}")
        try:
            url = urlsplit(given.strip())
            _ = url.port  # which is when a malformed one is noticed
        except ValueError:
            url = urlsplit("")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise AccessError(
                f"The base URL of {self.trainer} must begin with https:// (or http://) and a host, "
                f"such as {OPENAI_URL}."
            )
        if url.username is not None or url.password is not None:
            raise AccessError(
                f"The base URL of {self.trainer} has a user or password in it. Leave them out, and "
                "set the key as api_key."
            )
        return url

    def key(self, endpoint: Endpoint) -> str:
        """Raises AccessError when it is missing, or can be none."""
        key = (endpoint.api_key or "").strip()
        trainer, name = self.trainer, self.key_variable
        if not key:
            where = f"{name}, or api_key in" if name else f"{trainer}.api_key in"
            raise AccessError(
                f"There is no key for {trainer}. Set {where} the plugin's configuration."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            # Found here, because the error of the HTTP library would show it.
            raise AccessError(
                f"The key for {trainer} has characters that no key has (a space, a line break, an "
                f"accent). Copy it again into {name or 'the configuration'}."
            )
        return key


OPENAI = Dialect(
    "openai",
    title="OpenAI, or a server that speaks its protocol: fine-tune a model",
    # Those of OpenAI's SDK.
    variables={"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"},
    # OpenAI's guide and API reference: files of 512 MB, and of 8 GB as Uploads.
    console={
        "job": "https://platform.openai.com/finetune/{}",
        "file": "https://platform.openai.com/storage/files/{}",
        "batch": "https://platform.openai.com/batches/{}",
    },
)

AZURE = Dialect(
    "azure",
    title="Azure OpenAI: fine-tune a model, and deploy it at your resource",
    provider="Azure",
    variables={
        "api_key": "AZURE_OPENAI_API_KEY",
        "base_url": "AZURE_OPENAI_ENDPOINT",
        "api_version": "OPENAI_API_VERSION",
    },
    home=None,
    no_home="Set AZURE_OPENAI_ENDPOINT, or base_url in the plugin's configuration, to that of the "
    "Azure resource: https://RESOURCE.openai.azure.com",
    root="/openai/v1",
    key_header="api-key",
    batch_root="",  # as Azure's guide to batches names the paths
    deployments=True,
    # Azure's guide to fine-tuning: files under 512 MB, a suffix of 18 characters.
    suffix=18,
    suffix_dots=False,
    file_bytes=512 * _MIB,
    marks_files=True,
)

DIALECTS = [OPENAI, AZURE]
"""A server with headers, limits or quirks of its own is one more entry."""
