"""Failed requests to a service, by what the caller does next: skip the row, retry, or stop."""

from __future__ import annotations

from ..core.errors import FtclassifyError
from .usage import Usage


class ServiceProblem(FtclassifyError):
    """Something that a service refused or did not answer, in its own words, with what to do.

    unbilled: whether nothing was done for the request, so that it costs nothing; else the answer
                may have been given, and billed, and was lost on its way
    """

    unbilled = True


class RowRejected(ServiceProblem):
    """This one text cannot be answered (too long, against a policy); others can."""


class TryAgain(ServiceProblem):
    """A request may succeed later.

    after:        seconds that the service asked to wait; None: it did not say
    rate_limited: the service is well and wants fewer requests, which is no failure of the row
    unbilled:   see `ServiceProblem`; None: only when it is `rate_limited`
    """

    def __init__(
        self,
        message: str,
        *,
        after: float | None = None,
        rate_limited: bool = False,
        unbilled: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.after = after
        self.rate_limited = rate_limited
        self.unbilled = rate_limited if unbilled is None else unbilled


MOST_AGAIN = 20
"""Requests about one text that only find out which fields the server takes."""


class AskAgain(TryAgain):
    """Send the request about the same text again at once: the client has found out from this one
    which fields the server takes.

    usage: of the answer that came of it, which is billed; None: there was none
    sent:  whether there was a request at all
    """

    def __init__(self, message: str, *, usage: Usage | None = None, sent: bool = True) -> None:
        super().__init__(message, unbilled=usage is None)
        self.usage, self.sent = usage, sent


class ServiceRefused(ServiceProblem):
    """Every further request would fail as well: no such key, no money left, no such model.

    code: the service's own, such as `insufficient_quota` or `training_not_available`; or None
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code
