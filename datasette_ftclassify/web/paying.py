"""What costs money on a page: who may start it, and whether its price has been agreed to."""

from __future__ import annotations

from typing import Any

from ..core.errors import AccessError
from ..core.humanize import dollars
from ..core.numbers import AGREED_USD
from ..jobs.estimates import JobEstimate
from ..jobs.train_plan import MORE
from ..trainers.access import Access
from .form_fields import number
from .page_request import PageRequest
from .permissions import SPEND
from .refusals import NotAgreed, NotAllowed


async def require_may_pay(ask: PageRequest, what: str, access: Access) -> None:
    """what: costs money, such as a classifier's title

    Raises NotAllowed for a visitor who may not spend, AccessError where no limit is set.
    """
    if not await ask.may(SPEND):
        raise NotAllowed(f"{what} costs money: that needs the permission {SPEND}.")
    if (why := access.why_unlimited(what)) is not None:
        raise AccessError(why)


def require_priced(title: str, estimate: JobEstimate) -> None:
    """Raises AccessError where nobody knows the price of requests to a classifier."""
    if estimate.requests and estimate.usd is None:
        raise AccessError(f"{title} cannot keep to a limit: {estimate.note}")


def require_agreed(
    ask: PageRequest,
    usd: float | None,
    price: str,
    found: object,
    *,
    refusal: str | None,
    what: str = "It",
    data: dict[str, Any] | None = None,
) -> None:
    """Raises NotAgreed unless `confirm_usd` is about as much as `usd`, and as `require_said`."""
    confirmed = number("confirm_usd", ask.one("confirm_usd"), AGREED_USD)
    agreed = confirmed is not None and usd is not None and usd <= confirmed * MORE
    more = "" if confirmed is None else f", more than the {dollars(confirmed)} that were agreed to"
    asks = f"{what} will cost {price}{more}. To agree to that, send confirm_usd."
    require_said(ask, agreed, asks, found, refusal=refusal, data=data)


def require_said(
    ask: PageRequest,
    agreed: bool,
    asks: str,
    found: object,
    *,
    refusal: str | None,
    data: dict[str, Any] | None = None,
) -> None:
    """Raises NotAgreed unless the price is agreed to, and that it is paid despite errors.

    asks:    what it costs and how to agree, for a program
    refusal: of the errors that were found in the rows; None: there are none
    found, data: as of NotAgreed
    """
    despite = "" if refusal is None else f"{refusal} Send despite_findings to pay anyway."
    if not agreed:
        raise NotAgreed(f"{asks} {despite}".strip(), found, data=data)
    if refusal is not None and not ask.checked("despite_findings"):
        tick = f"{refusal} Fix the rows, or tick the box beside the button to pay anyway."
        raise NotAgreed(despite, found, tick, data)
