"""How the requests of one trainer differ from those of others, among servers that speak OpenAI's
protocol. Code that sends or reads them follows this, not the trainer's name."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ...core.errors import AccessError
from ..access import Endpoint

OPENAI_URL = "https://api.openai.com/v1"

OPENAI_VARIABLES = {"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"}
"""Those of OpenAI's SDK."""


@dataclass(frozen=True)
class Dialect:
    """How a trainer's server is reached and asked.

    trainer:      its name, for people
    key_variable: of the environment, for people; None: none is read
    home:         the base URL when the operator sets none; None: it must be set
    no_home:      what to set then, for people
    root:         the path of the API where an address has none
    key_header:   which holds the key; None: it is a bearer token
    batch_root:   begins the paths that a batch's requests name
    deployments:  a tuned model is asked under the name of its deployment, which the older form of
                  addresses (`Endpoint.api_version`) holds, too
    """

    trainer: str
    key_variable: str | None = None
    home: str | None = OPENAI_URL
    no_home: str = ""
    root: str = ""
    key_header: str | None = None
    batch_root: str = "/v1"
    deployments: bool = False

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


OPENAI = Dialect("openai", OPENAI_VARIABLES["api_key"])
