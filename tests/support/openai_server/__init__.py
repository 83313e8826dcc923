"""A test server that speaks OpenAI's fine-tuning protocol.

with OpenAIServer() as server:
    server.faults.add("POST /fine_tuning/jobs", 500, after=True)
    client = server.client()
"""

from __future__ import annotations

from .faults import Fault, Faults
from .http import Request
from .server import OpenAIServer
from .settings import BaseModelInfo, Settings

__all__ = ["BaseModelInfo", "Fault", "Faults", "OpenAIServer", "Request", "Settings"]
