"""The dates on which hosts retire their models, as they publish them. Fetched once a day at most,
and only when somebody who may pay prepares a training: viewing a page sends no request."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from ..core.errors import AccessError
from ..prompts.price_table import base_model
from .access import Access
from .registry import list_services
from .service import Service
from .service_errors import ServiceProblem

KEPT_SECONDS = 24 * 3600.0
FAILED_SECONDS = 600.0
"""After which a host is asked again that gave no answer."""

Key = tuple[str, str]
_lock = threading.Lock()
_known: dict[Key, tuple[float, Mapping[str, date]]] = {}
"""By whose settings and which host: until when (monotonic), and the dates."""


def stated_shutdown(service: Service, access: Access, model: str) -> date | None:
    """The day from which the host says that the model, or fine-tunes of it, are retired, if that is
    known already. Sends no request."""
    key = _key(service, access)
    _, dates = _known.get(key, (0.0, {})) if key is not None else (0.0, {})
    return dates.get(model) or dates.get(base_model(model))


def ask_for_dates(access: Access) -> None:
    """Asks the hosts that can be asked, those whose dates are not known or a day old. Takes some
    seconds at most; a host that says nothing is no error."""
    with _lock:
        due: dict[Key, Service] = {}
        for service in list_services():
            key = _key(service, access)
            asks = type(service).shutdown_dates is not Service.shutdown_dates
            if key is not None and asks and _known.get(key, (0.0, {}))[0] < time.monotonic():
                due.setdefault(key, service)
        if not due:
            return
        with ThreadPoolExecutor(len(due), thread_name_prefix="ftclassify-dates") as pool:
            found = pool.map(lambda service: _ask(service, access), due.values())
            for key, dates in zip(due, found, strict=True):
                keep = FAILED_SECONDS if dates is None else KEPT_SECONDS
                _known[key] = (time.monotonic() + keep, dates or {})


def _key(service: Service, access: Access) -> Key | None:
    """None: the service cannot be asked, for want of a key or an address."""
    endpoint = access.endpoint(service.name)
    if service.variables.get("api_key") and endpoint.api_key is None:
        return None
    try:
        return service.reached_as, service.host(endpoint)
    except AccessError:
        return None


def _ask(service: Service, access: Access) -> Mapping[str, date] | None:
    try:
        return service.shutdown_dates(access.endpoint(service.name))
    except (ServiceProblem, AccessError):
        return None
