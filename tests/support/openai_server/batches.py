"""Batches: many requests in a file, answered when the server finds the time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from openai.types import Batch as BatchModel

from .errors import bad_request, no_such
from .faults import BATCHES
from .files import write_lines
from .http import Request, Response
from .schemas import BATCH, answer, checked, dump, page, read_json
from .state import Batch, new_id, now
from .vocabulary import vocabulary

if TYPE_CHECKING:
    from .app import App

MOST_REQUESTS = 50_000
MOST_BYTES = 200 * 1024**2
ENDPOINTS = ("/v1/chat/completions", "/v1/completions")
ENDED = ("failed", "completed", "expired", "cancelled")


async def create(app: App, request: Request) -> Response:
    given = read_json(request)
    if isinstance(given, dict) and "endpoint" in given:
        given = {**given, "endpoint": _versioned(app, given["endpoint"])}
    body = checked(BATCH, given, app.settings.extra_body)
    file = app.state.files.get(body["input_file_id"])
    if file is None or file["purpose"] != "batch":
        raise bad_request(
            f"Invalid input_file_id: {body['input_file_id']} is no file with the purpose batch.",
            "invalid_input_file",
            "input_file_id",
        )
    if body["endpoint"] not in ENDPOINTS:
        raise bad_request(f"The endpoint {body['endpoint']} is not offered.", None, "endpoint")
    record = {
        "object": "batch",
        "id": new_id("batch", "_"),
        "endpoint": body["endpoint"],
        "input_file_id": body["input_file_id"],
        "completion_window": body["completion_window"],
        "status": "validating",
        "created_at": now(),
        "expires_at": now() + 86_400,
        "metadata": body.get("metadata"),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
    }
    batch = Batch(record)
    fault = app.faults.take(request, BATCHES)
    if fault is not None:
        batch.fate = {
            "kind": fault.kind, "done": fault.done, "code": fault.code or "server_error",
            "message": fault.message or "The batch failed.",
        }  # fmt: skip
    app.state.batches[record["id"]] = batch
    app.state.batches_created += 1
    app.start(live(app, batch))
    return answer(BatchModel, record)


def _versioned(app: App, path: Any) -> Any:
    """Azure names the endpoints of batches without a version."""
    if app.settings.dialect == "azure" and f"/v1{path}" in ENDPOINTS:
        return f"/v1{path}"
    return path


def find(app: App, id: str) -> Batch:
    if id not in app.state.batches:
        raise no_such("Batch", id)
    return app.state.batches[id]


async def retrieve(app: App, request: Request, id: str) -> Response:
    return answer(BatchModel, find(app, id).record)


async def list_batches(app: App, request: Request) -> Response:
    newest_first = [b.record for b in reversed(app.state.batches.values())]
    return page(request, [dump(BatchModel, record) for record in newest_first])


async def cancel(app: App, request: Request, id: str) -> Response:
    record = find(app, id).record
    if record["status"] not in ("validating", "in_progress", "finalizing"):
        raise bad_request(f"Batch {id} is {record['status']}: it cannot be cancelled.")
    record.update(status="cancelling", cancelling_at=now())
    return answer(BatchModel, record)


async def live(app: App, batch: Batch) -> None:
    """Validates and answers a batch; begins anew with the answers after a restart."""
    record = batch.record
    await _stay(app, batch, "validating")
    lines = _lines(app, batch)
    if lines is None:
        app.state.save()
        return
    record["request_counts"]["total"] = len(lines)
    if record["status"] == "validating":
        record.update(status="in_progress", in_progress_at=now())
        app.state.save()
    await _stay(app, batch, "in_progress")
    done, failed = await _answer_all(app, batch, lines)
    if record["status"] == "in_progress":
        record.update(status="finalizing", finalizing_at=now())
    await _stay(app, batch, "finalizing")
    end = "expired" if _expires(batch) else "completed"
    if record["status"] == "cancelling":
        end = "cancelled"
    for key, found, name in (
        ("output_file_id", done, "output"), ("error_file_id", failed, "error"),
    ):  # fmt: skip
        if found:
            content = write_lines(found)
            file = app.state.add_file(content, f"{record['id']}_{name}.jsonl", "batch_output")
            record[key] = file["id"]
    record.update({"status": end, f"{end}_at": now(), "usage": _usage(done)})
    app.state.save()


def _expires(batch: Batch) -> bool:
    return batch.fate is not None and batch.fate["kind"] == "batch_expires"


async def _stay(app: App, batch: Batch, status: str) -> None:
    await asyncio.sleep(app.settings.pace)
    while batch.record["status"] == status and (
        status in app.held
        or (status == "in_progress" and batch.fate and batch.fate["kind"] == "batch_stalls")
    ):
        await asyncio.sleep(0.02)


def _lines(app: App, batch: Batch) -> list[dict[str, Any]] | None:
    """The requests of the input file; None when the batch has failed."""
    content = app.state.contents.get(batch.record["input_file_id"], b"")
    lines, errors = _parse(app, content, batch.record["endpoint"])
    if batch.fate and batch.fate["kind"] == "batch_fails":
        errors = [_error(batch.fate["code"], batch.fate["message"])]
    elif not errors:
        errors = _over_limit(app, batch, lines, content)
    if not errors:
        return lines
    batch.record.update(status="failed", failed_at=now(), errors={"object": "list", "data": errors})
    return None


def _parse(
    app: App, content: bytes, endpoint: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    errors = []
    seen: set[str] = set()
    for number, text in enumerate(content.decode("utf-8-sig").splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError:
            errors.append(
                _error("invalid_json_line", "This line is not parseable as JSON.", number)
            )
            continue
        if isinstance(line, dict) and "url" in line:
            line["url"] = _versioned(app, line["url"])
        problem = _problem(line, endpoint, seen)
        if problem:
            errors.append(_error(*problem, line=number))
        else:
            seen.add(line["custom_id"])
            lines.append(line)
    if not lines and not errors:
        errors.append(_error("empty_file", "The batch file is empty."))
    return lines, errors


def _problem(line: Any, endpoint: str, seen: set[str]) -> tuple[str, str] | None:
    if not isinstance(line, dict):
        return "invalid_json_line", "This line is not a JSON object."
    missing = [key for key in ("custom_id", "method", "url", "body") if key not in line]
    if missing:
        return "missing_required_parameter", f"Missing required parameter: '{missing[0]}'."
    if set(line) - {"custom_id", "method", "url", "body"}:
        return "unknown_parameter", "This line has an unknown key."
    if line["custom_id"] in seen:
        return "duplicate_custom_id", f"The custom_id {line['custom_id']} is used twice."
    if line["method"] != "POST" or line["url"] != endpoint:
        return "mismatched_endpoint", f"This line does not POST to {endpoint}."
    return None


def _error(code: str, message: str, line: int | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "line": line, "param": None}


def _over_limit(
    app: App, batch: Batch, lines: list[dict[str, Any]], content: bytes
) -> list[dict[str, Any]]:
    if len(lines) > MOST_REQUESTS or len(content) > MOST_BYTES:
        return [_error("file_too_large", f"A batch has at most {MOST_REQUESTS:,} requests.")]
    if len({line["body"].get("model") for line in lines}) > 1:
        return [_error("mismatched_model", "All requests of a batch must be for one model.")]
    most = app.settings.batch_tokens
    if most is None:
        return []
    batch.record["enqueued"] = vocabulary("o200k_base").count(content.decode("utf-8-sig"))
    waiting = [b.record for b in app.state.batches.values() if b.record["status"] not in ENDED]
    if sum(record.get("enqueued", 0) for record in waiting) <= most:
        return []
    model = lines[0]["body"].get("model")
    return [
        _error(
            "token_limit_exceeded",
            f"Enqueued token limit reached for {model} in organization "
            f"{app.settings.organization}. Limit: {most:,} enqueued tokens. Please try again once "
            "some in_progress batches have been completed.",
        )
    ]


async def _answer_all(
    app: App, batch: Batch, lines: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Output lines and error lines, in no particular order, as the service gives them."""
    counts = batch.record["request_counts"]
    share = batch.fate["done"] if batch.fate and _expires(batch) else 1.0
    to_do = int(len(lines) * share)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for number, line in enumerate(lines):
        if batch.record["status"] == "cancelling":
            failed += [_not_done(rest, "cancelled") for rest in lines[number:]]
            break
        if number >= to_do:
            failed += [_not_done(rest, "expired") for rest in lines[number:]]
            break
        result = await _answer_line(app, line)
        ok = result["response"]["status_code"] == 200
        (done if ok else failed).append(result)
        counts["completed" if ok else "failed"] += 1
    return done[::-1], failed


def _not_done(line: dict[str, Any], why: str) -> dict[str, Any]:
    message = (
        "This request could not be executed before the completion window expired."
        if why == "expired"
        else "This request was not executed before the batch was cancelled."
    )
    return {
        "id": new_id("batch_req", "_"), "custom_id": line["custom_id"], "response": None,
        "error": {"code": f"batch_{why}", "message": message},
    }  # fmt: skip


async def _answer_line(app: App, line: dict[str, Any]) -> dict[str, Any]:
    path = "/batches/-" + line["url"].removeprefix("/v1")
    request = Request(
        "POST", path, line["url"], [], {}, json.dumps(line["body"]).encode(), in_batch=True
    )
    response = await app.answer(request)
    await asyncio.sleep(0)
    return {
        "id": new_id("batch_req", "_"),
        "custom_id": line["custom_id"],
        "response": {
            "status_code": response.status,
            "request_id": new_id("req", "_"),
            "body": json.loads(response.body),
        },
        "error": None,
    }


def _usage(done: list[dict[str, Any]]) -> dict[str, Any]:
    figures = [line["response"]["body"]["usage"] for line in done]
    sent = sum(usage["prompt_tokens"] for usage in figures)
    said = sum(usage["completion_tokens"] for usage in figures)
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sent + said,
    }


ROUTES = {
    "POST /batches": create,
    "GET /batches": list_batches,
    "GET /batches/{id}": retrieve,
    "POST /batches/{id}/cancel": cancel,
}
