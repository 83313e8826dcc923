"""How the requests of one trainer differ from those of others, among servers that speak OpenAI's
protocol. Code that sends or reads them follows this, not the trainer's name."""

from __future__ import annotations

from dataclasses import dataclass

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


OPENAI = Dialect("openai", OPENAI_VARIABLES["api_key"])
