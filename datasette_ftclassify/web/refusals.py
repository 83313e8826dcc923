"""Why a form was refused, beyond what the core says: nobody has agreed, or somebody may not."""

from __future__ import annotations

from typing import Any

from ..core.errors import FtclassifyError
from ..core.typed_json import as_json


class NotAllowed(FtclassifyError):
    """The visitor may not do what this form says, though perhaps what it says with other fields."""

    status = 403


class NotAgreed(FtclassifyError):
    """What costs money has not been agreed to, or not all of it: the page asks for that.

    found:   what there is to agree to, a dataclass
    on_page: what the page says of it; None: nobody was asked before
    data:    what a program is told of it, JSON-safe; None: its fields
    """

    def __init__(
        self,
        message: str,
        found: object,
        on_page: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.found, self.on_page = found, on_page
        self.data = as_json(found) if data is None else data
