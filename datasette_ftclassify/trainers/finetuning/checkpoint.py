"""What a training keeps, so that one that was killed goes on: arrays, and JSON beside them in the
same file. Each is written whole before it takes the place of the one before; nothing is unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..encoders.made_here import trainings_folder

_STATE = "state"


def folder_of(parts: object, *arrays: bytes) -> Path:
    """The folder of one training, made. parts, arrays: all that it depends on, such as its rows"""
    key = sha256(json.dumps(parts).encode())
    for array in arrays:
        key.update(array)
    return _made(trainings_folder() / key.hexdigest())


def write(path: Path, tensors: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """tensors: of torch, by name; state: whatever is JSON. Raises OSError, as on a full disk."""
    from safetensors.torch import save_file

    # Another process that trains the same may have ended, and deleted the folder.
    new = _made(path.parent) / f"{path.name}.{os.getpid()}"
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            new,
            {_STATE: json.dumps(state)},
        )
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(tensors, state); None where there is none, or it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()[_STATE])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
