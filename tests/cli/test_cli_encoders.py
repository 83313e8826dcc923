"""`encoders`: which are known on this machine, and one that comes from a hub."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from commands import run, run_json
from tiny_encoder import write_encoder

from datasette_ftclassify.core.errors import TrainingError
from datasette_ftclassify.trainers.encoders.download import download, plan_download
from datasette_ftclassify.trainers.encoders.encode import encode
from datasette_ftclassify.trainers.encoders.known import use_encoder

pytest.importorskip("onnxruntime")

NAME, REVISION = "someone/tiny", "a" * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder", {"cat": [1.0, 0.0], "saw": [0.0, 1.0]})


def test_an_encoder_is_added_listed_with_its_vectors_and_removed(folder: Path) -> None:
    assert "No sentence encoder" in run("encoders", "list").output
    run("encoders", "add", folder)
    encode(use_encoder(str(folder)), ["cat", "saw", "cat"])
    (listed,) = run_json("encoders", "list")["encoders"]
    assert (listed["name"], listed["vectors"], listed["dimensions"]) == (str(folder), 2, 2)
    assert "2 vectors" in run("encoders", "list").output
    assert "Deleted 2 vectors" in run("encoders", "remove", folder).output
    assert run_json("encoders", "list")["encoders"] == []
    assert (folder / "model.onnx").exists()
    assert "No encoder" in run("encoders", "remove", folder, code=1).output
    assert "not downloaded silently" in run("encoders", "add", "nobody/none", code=1).output


class _Hub(BaseHTTPRequestHandler):
    """What the hub answers about one model, whose files are in a folder."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        head = f"/{NAME}/resolve/{REVISION}/"
        if path.startswith(f"/api/models/{NAME}/tree/"):
            self._send(json.dumps(self._tree()).encode(), body)
        elif path.startswith(f"/api/models/{NAME}"):
            self._send(json.dumps(self._about()).encode(), body)
        elif path.startswith(head) and (self.folder / path.removeprefix(head)).is_file():
            self._send((self.folder / path.removeprefix(head)).read_bytes(), body)
        else:
            self.send_error(404)

    def _tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": str(path.relative_to(self.folder)), "oid": "b" * 40,
             "size": path.stat().st_size}
            for path in self.folder.rglob("*") if path.is_file()
        ]  # fmt: skip

    def _about(self) -> dict[str, Any]:
        siblings = [{"rfilename": file["path"], "size": file["size"]} for file in self._tree()]
        return {"id": NAME, "sha": REVISION, "tags": ["license:mit"], "siblings": siblings}

    def _send(self, data: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hash(data) & 0xFFFFFFFF:x}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that speaks as the hub does, and an empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (folder / "pytorch_model.bin").write_bytes(b"torch")
    handler = type("Handler", (_Hub,), {"folder": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_a_download_brings_is_said_before_and_nothing_else_comes(
    hub: str, folder: Path
) -> None:
    planned = plan_download(NAME, hub)
    assert (planned.licence, planned.revision) == ("mit", REVISION)
    assert "pytorch_model.bin" not in planned.files
    assert planned.bytes == sum((folder / name).stat().st_size for name in planned.files)
    download(planned, hub)
    encoder = use_encoder(NAME)
    assert encoder.row("cat").tolist() == [1.0, 0.0]
    assert encoder.files.revision == REVISION
    assert not (encoder.files.model.parent / "pytorch_model.bin").exists()


def test_a_model_without_onnx_is_refused_before_anything_comes(hub: str, folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(TrainingError, match=r"has no model.onnx at the hub"):
        plan_download(NAME, hub)
    with pytest.raises(TrainingError, match="cannot be had from the hub"):
        plan_download("someone/else", hub)
