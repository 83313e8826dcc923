"""The local trainer: a text classifier from scikit-learn that predicts with numpy alone.

Importing this package imports neither; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cross_val_predict import out_of_fold
    from .learning_curves import curve_sentence, learning_curve
    from .model import LocalModel
    from .training import fit, fit_held_out

__all__ = [
    "LocalModel", "curve_sentence", "fit", "fit_held_out", "learning_curve", "out_of_fold",
]  # fmt: skip

_HOMES = {
    "LocalModel": "model",
    "curve_sentence": "learning_curves",
    "fit": "training",
    "fit_held_out": "training",
    "learning_curve": "learning_curves",
    "out_of_fold": "cross_val_predict",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
