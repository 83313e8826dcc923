"""Which model is behind the name of a deployment or a fine-tune, as far as this installation knows.

Prices follow from that, so a database file is not trusted with it. Known are models that were
trained here and deployments that were named here; most other names are those of their models.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from ...core.errors import FtclassifyError
from ...core.service_model import ServiceModel, checkpoints_of
from ...core.training_report import Header
from ...core.untrusted_json import JsonObject
from ...ledger import Ledger, LedgerError
from ...prompts.price_table import base_model
from ...prompts.tokenizer import encoding_of
from ...store.classifiers import Classifier
from ...store.deployments import set_deployment
from ...trainers.access import Access
from ..load_classifier import base_of
from .models import deploys

MAX_DEPLOYMENT = 200
"""Characters: names of deployments are short."""


def note_trained(access: Access, header: Header, report: JsonObject) -> None:
    """Notes what a training here has made, its checkpoints included."""
    made = ServiceModel.read(header)
    names = [made.model, *(checkpoint.model for checkpoint in checkpoints_of(report))]
    _note(access, made.host, names, made.base)


def deploy(
    conn: sqlite3.Connection, classifier: Classifier, name: str, access: Access
) -> Classifier:
    """Notes under which name the classifier's model is asked, because a person here says so.

    Raises FtclassifyError for what cannot be such a name, and where there are no deployments.
    """
    if not deploys(classifier):
        raise FtclassifyError(f"{classifier.title} needs no deployment: it is ready to be asked.")
    if not name or len(name) > MAX_DEPLOYMENT or not name.isprintable():
        raise FtclassifyError("Give the name that the deployment has at the service.")
    changed = set_deployment(conn, classifier, name)
    model, host = changed.at_service.model, changed.at_service.host
    if model is not None and host is not None:
        known = base_model(model) if encoding_of(model) is not None else None
        _note(access, host, [name], known or base_of(access, host.lower(), model))
    return changed


def _note(access: Access, host: str | None, names: Sequence[str | None], base: str | None) -> None:
    if host is not None and base is not None:
        with suppress(LedgerError):
            Ledger(access.ledger).note_base(host.lower(), [n for n in names if n], base)
