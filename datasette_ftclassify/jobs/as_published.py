"""A classifier as readers of a published copy may see it: without host, ids and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.service_model import PUBLISHED, ServiceModel
from ..core.table_copy import Selection
from ..core.training_report import Header
from ..core.untrusted_json import JsonObject
from ..store.classifiers import Classifier
from ..store.published import Published
from .load_classifier import is_elsewhere


def as_published(classifier: Classifier, selection: Selection) -> Published:
    texts = classifier.task.source.lower() in selection.names
    header, report = classifier.header, without_machine(classifier.report)
    elsewhere = is_elsewhere(classifier)
    if elsewhere is None:
        elsewhere = classifier.at_service.host is not None
    if elsewhere:
        header, report = _without_service(classifier.at_service, report)
    return Published(classifier, header, report, elsewhere, texts)


def without_machine(report: JsonObject) -> JsonObject:
    """A report without what is for whoever trained: warnings, and folders of this machine."""
    found = {name: value for name, value in report.items() if name != "warnings"}
    if isinstance(found.get("embeddings"), str):
        found["embeddings"] = Path(found["embeddings"]).name
    return found


def _without_service(asked: ServiceModel, report: JsonObject) -> tuple[Header, JsonObject]:
    """Header and report without host, ids and what was spent; a model that nobody has tuned keeps
    its name."""
    service = _mapping(report.get("service"))
    tuned = "job" in service
    ids = [value for name, value in service.items() if name not in _NO_IDS]
    hosts = [asked.host, service.get("host")]
    private = {*_texts([*ids, *hosts, asked.deployment, asked.model, report.get("checkpoints")])}
    private |= {host.partition(":")[0] for host in _texts(hosts)}
    private -= {asked.base} if tuned else {asked.base, asked.model}
    longest_first = sorted((t for t in private if len(t) >= _SHORTEST_ID), key=len, reverse=True)
    told = {k: v for k, v in report.items() if k not in ("service", "checkpoints", "usd")}
    public = {"base": asked.base} if tuned else {"base": asked.base, "model": asked.model}
    return {**public, PUBLISHED: True}, _replaced(told, longest_first)


_NO_IDS = ("base", "hyperparameters", "seed", "suffix")
_SHORTEST_ID = 6
"""Characters: a shorter text may be a part of any word."""


def _mapping(value: object) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))


def _replaced(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "(not published)")
        return value
    if isinstance(value, list):
        return [_replaced(one, secrets) for one in value]
    if isinstance(value, Mapping):
        return {name: _replaced(one, secrets) for name, one in value.items()}
    return value
