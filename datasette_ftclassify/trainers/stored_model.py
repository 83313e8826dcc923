"""The stored header of a classifier whose model is at a service. The file may be a stranger's, so
the header can choose neither another host nor further fields of a request."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.errors import AccessError, ArtifactError
from ..core.training_report import Header

NAME_LENGTH = 500
"""Characters of the name of a model: the longest known are a quarter of it."""

DAMAGED = "The stored classifier does not say rightly which model to ask"


def read_name(header: Header, field: str) -> str:
    """A name in a stored header. Raises ArtifactError when it is missing or none."""
    name = header.get(field) if isinstance(header, Mapping) else None
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= NAME_LENGTH
        or not name.isprintable()
        or not name.strip(". ")
    ):
        raise ArtifactError(f"{DAMAGED}: its {field} is missing or malformed. Train it again.")
    return name


def check_host(model: str, there: str, trainer: str, here: str) -> None:
    """there: the host that has the model, as stored; here: the one that the operator set.

    Raises AccessError when they differ.
    """
    if there != here:
        raise AccessError(
            f"The model {model} is at {there}, and {trainer} is set up to ask {here}. If you trust "
            f"{there} with your key and texts, set its address as the base URL of {trainer}."
        )
