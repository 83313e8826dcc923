"""Files, and uploads in parts."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from openai.types import FileDeleted, FileObject, Upload
from openai.types.uploads import UploadPart

from .errors import ApiError, bad_request, no_such
from .http import FormPart, Request, Response
from .schemas import (
    UPLOAD,
    UPLOAD_COMPLETE,
    FileFields,
    answer,
    check_range,
    checked,
    dump,
    page,
    read_json,
)
from .state import new_id, now

if TYPE_CHECKING:
    from .app import App

MOST_BYTES = 512 * 1024**2
MOST_UPLOAD_BYTES = 8 * 1024**3
MOST_PART_BYTES = 64 * 1024**2


def _form(request: Request) -> dict[str, FormPart]:
    try:
        return request.form
    except ValueError as error:
        raise bad_request(str(error)) from error


async def create(app: App, request: Request) -> Response:
    form = _form(request)
    file = form.pop("file", None)
    if file is None or file.filename is None:
        raise bad_request("'file' is a required property", "missing_required_parameter", "file")
    fields: dict[str, Any] = {}
    for name, part in form.items():
        text = part.content.decode()
        if name.startswith("expires_after["):
            key = name[len("expires_after[") : -1]
            value = int(text) if key == "seconds" and text.isdigit() else text
            fields.setdefault("expires_after", {})[key] = value
        else:
            fields[name] = text
    checked(FileFields, fields, app.settings.extra_body)
    expires_after = _lifetime(fields)
    _check_file(file.filename, len(file.content), fields["purpose"], MOST_BYTES)
    record = app.state.add_file(file.content, file.filename, fields["purpose"], expires_after)
    return answer(FileObject, record)


def _lifetime(fields: dict[str, Any]) -> int | None:
    seconds: int | None = fields.get("expires_after", {}).get("seconds")
    check_range("expires_after.seconds", seconds, 3600, 2_592_000)
    return seconds


def _check_file(filename: str, size: int, purpose: str, most: int) -> None:
    if size == 0:
        raise bad_request("File is empty.", "empty_file", "file")
    if size > most:
        raise ApiError(413, f"File is larger than the maximum of {most} bytes.", param="file")
    if purpose in ("fine-tune", "batch") and not filename.endswith(".jsonl"):
        extension = filename.rpartition(".")[2]
        raise bad_request(
            f"Invalid file format. Unsupported extension {extension!r} for purpose {purpose}: "
            "expected a .jsonl file.",
            "invalid_file_format",
            "file",
        )


def find(app: App, id: str) -> dict[str, Any]:
    if id not in app.state.files:
        raise no_such("File", id)
    return app.state.files[id]


async def retrieve(app: App, request: Request, id: str) -> Response:
    return answer(FileObject, find(app, id))


async def content(app: App, request: Request, id: str) -> Response:
    find(app, id)
    return Response(app.state.contents[id], media_type="application/octet-stream")


async def delete(app: App, request: Request, id: str) -> Response:
    find(app, id)
    del app.state.files[id]
    app.state.forget(id)
    return answer(FileDeleted, {"id": id, "object": "file", "deleted": True})


async def list_files(app: App, request: Request) -> Response:
    wanted = request.params.get("purpose")
    records = [r for r in app.state.files.values() if wanted in (None, r["purpose"])]
    if request.params.get("order") != "asc":
        records.reverse()
    return page(request, [dump(FileObject, r) for r in records], default=10_000, most=10_000)


async def create_upload(app: App, request: Request) -> Response:
    body = checked(UPLOAD, read_json(request), app.settings.extra_body)
    check_range("bytes", body["bytes"], 1, MOST_UPLOAD_BYTES)
    _check_file(body["filename"], body["bytes"], body["purpose"], MOST_UPLOAD_BYTES)
    record = {
        "object": "upload",
        "id": new_id("upload", "_"),
        "created_at": now(),
        "expires_at": now() + 3600,
        "status": "pending",
        "file": None,
        **{key: body[key] for key in ("bytes", "filename", "purpose")},
    }
    app.state.uploads[record["id"]] = {
        "record": record, "parts": [], "lifetime": _lifetime(body),
    }  # fmt: skip
    return answer(Upload, record)


def _pending(app: App, id: str) -> dict[str, Any]:
    if id not in app.state.uploads:
        raise no_such("Upload", id)
    upload = app.state.uploads[id]
    status = upload["record"]["status"]
    if status != "pending":
        raise bad_request(f"Upload {id} is {status}: it takes no more parts.", "upload_not_pending")
    return upload


async def add_part(app: App, request: Request, id: str) -> Response:
    upload = _pending(app, id)
    data = _form(request).get("data")
    if data is None:
        raise bad_request("'data' is a required property", "missing_required_parameter", "data")
    if len(data.content) > MOST_PART_BYTES:
        raise ApiError(413, f"A part has at most {MOST_PART_BYTES} bytes.", param="data")
    part = new_id("part", "_")
    app.state.keep(part, data.content)
    upload["parts"].append(part)
    return answer(
        UploadPart, {"object": "upload.part", "id": part, "created_at": now(), "upload_id": id}
    )


async def complete_upload(app: App, request: Request, id: str) -> Response:
    upload = _pending(app, id)
    record = upload["record"]
    body = checked(UPLOAD_COMPLETE, read_json(request))
    unknown = [part for part in body["part_ids"] if part not in upload["parts"]]
    if unknown:
        raise bad_request(f"Part {unknown[0]} is not of upload {id}.", param="part_ids")
    joined = b"".join(app.state.contents[part] for part in body["part_ids"])
    if len(joined) != record["bytes"]:
        raise bad_request(
            f"The parts have {len(joined)} bytes in all, not the {record['bytes']} announced."
        )
    if "md5" in body and hashlib.md5(joined).hexdigest() != body["md5"]:
        raise bad_request("The md5 checksum does not match the uploaded bytes.", param="md5")
    _drop_parts(app, upload)
    record["file"] = app.state.add_file(
        joined, record["filename"], record["purpose"], upload["lifetime"]
    )
    record["status"] = "completed"
    return answer(Upload, record)


async def cancel_upload(app: App, request: Request, id: str) -> Response:
    upload = _pending(app, id)
    _drop_parts(app, upload)
    upload["record"]["status"] = "cancelled"
    return answer(Upload, upload["record"])


def _drop_parts(app: App, upload: dict[str, Any]) -> None:
    for part in upload["parts"]:
        app.state.forget(part)


def write_lines(lines: list[Any]) -> bytes:
    """JSON lines, as in the result files of batches."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


ROUTES = {
    "POST /files": create,
    "GET /files": list_files,
    "GET /files/{id}": retrieve,
    "GET /files/{id}/content": content,
    "DELETE /files/{id}": delete,
    "POST /uploads": create_upload,
    "POST /uploads/{id}/parts": add_part,
    "POST /uploads/{id}/complete": complete_upload,
    "POST /uploads/{id}/cancel": cancel_upload,
}
