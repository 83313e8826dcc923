"""A classifier as readers of a published copy may see it: without host, ids and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..core.service_model import PUBLISHED, ServiceModel
from ..core.table_copy import Selection
from ..core.training_report import Header
from ..core.untrusted_json import JsonObject, object_or_empty
from ..store.classifiers import Classifier
from ..store.published import Published
from ..trainers.options import EMBEDDINGS, ENCODER, without_folders
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
    return {name: value for name, value in named_vectors(report).items() if name != "warnings"}


def without_places(data: Any, settings: Mapping[str, Any]) -> Any:
    """JSON about a job for others than the people of this machine: an encoder, or vectors, that its
    settings name have no folder, wherever they are named."""
    options = settings.get("options")
    said = [options.get(o.name) for o in (EMBEDDINGS, ENCODER)] if isinstance(options, dict) else []
    names = {name: without_folders(name) for name in said if name and isinstance(name, str)}
    return replaced(data, names)


def named_vectors(report: JsonObject) -> JsonObject:
    """A report, which earlier versions gave the folder of static vectors."""
    named = report.get("embeddings")
    return {**report, "embeddings": without_folders(named)} if isinstance(named, str) else report


def _without_service(asked: ServiceModel, report: JsonObject) -> tuple[Header, JsonObject]:
    """Header and report without host, ids and what was spent; a model that nobody has tuned keeps
    its name."""
    service = object_or_empty(report.get("service"))
    tuned = "job" in service
    ids = [value for name, value in service.items() if name not in _NO_IDS]
    hosts = [asked.host, service.get("host")]
    private = {*_texts([*ids, *hosts, asked.deployment, asked.model, report.get("checkpoints")])}
    private |= {host.partition(":")[0] for host in _texts(hosts)}
    private -= {asked.base} if tuned else {asked.base, asked.model}
    longest_first = sorted((t for t in private if len(t) >= _SHORTEST_ID), key=len, reverse=True)
    told = {k: v for k, v in report.items() if k not in ("service", "checkpoints", "usd")}
    public = {"base": asked.base} if tuned else {"base": asked.base, "model": asked.model}
    return {**public, PUBLISHED: True}, replaced(told, dict.fromkeys(longest_first, _NOT_SAID))


_NO_IDS = ("base", "hyperparameters", "seed", "suffix")
_NOT_SAID = "(not published)"
_SHORTEST_ID = 6
"""Characters: a shorter text may be a part of any word."""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))


def replaced(value: Any, texts: Mapping[str, str]) -> Any:
    """JSON in whose texts the ones are replaced by the others, in order."""
    if isinstance(value, str):
        for text, other in texts.items():
            value = value.replace(text, other)
        return value
    if isinstance(value, list):
        return [replaced(one, texts) for one in value]
    if isinstance(value, Mapping):
        return {name: replaced(one, texts) for name, one in value.items()}
    return value
