"""What a published copy needs where it is published, beside its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.distribution import SERVE, WHOLE
from ..store.classifiers import Classifier
from ..trainers.registry import package_of


def packages_of(chosen: Sequence[Classifier]) -> tuple[str, ...]:
    """The packages by which these classifiers answer."""
    brought = {package for one in chosen if (package := package_of(one.trainer)) is not None}
    extras = ["encoder"] if any(map(encoder_of, chosen)) else []
    plugin = WHOLE  # which trainers of other packages are made for
    if not brought:
        plugin = SERVE
        extras += ["html"] if any(one.task.markup is not None for one in chosen) else []
    return (f"{plugin}[{','.join(extras)}]" if extras else plugin, *sorted(brought))


def encoder_of(classifier: Classifier) -> str | None:
    """Name, size and licence of the sentence encoder that a classifier needs to answer."""
    needed = classifier.header.get("embedding")
    if not isinstance(needed, Mapping) or not isinstance(needed.get("encoder"), str):
        return None
    about = classifier.report.get("encoder")
    told = []
    if isinstance(about, Mapping):
        size, licence = about.get("bytes"), about.get("licence")
        told += [f"{size / 1e6:,.0f} MB"] if isinstance(size, int) else []
        told += [licence] if isinstance(licence, str) else []
    return f"{needed.get('name')} ({', '.join(told)})" if told else str(needed.get("name"))
