"""Holds requests and answers to the types of OpenAI's own SDK.

The SDK's parameter types let unknown fields pass and check lists only when somebody iterates
them; the copies made here do neither.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from functools import cache
from typing import Any

from openai import BaseModel
from openai.types.batch_create_params import BatchCreateParams
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming as ChatCreateParams,
)
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.decision_create_params import DecisionCreateParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.file_create_params import ExpiresAfter
from openai.types.file_purpose import FilePurpose
from openai.types.fine_tuning.job_create_params import JobCreateParams
from openai.types.upload_complete_params import UploadCompleteParams
from openai.types.upload_create_params import UploadCreateParams
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, to_json
from typing_extensions import Required, TypedDict

from .errors import ApiError, bad_request
from .http import Request, Response


class FileFields(TypedDict, total=False):
    """Of the SDK's FileCreateParams what is not the file itself."""

    purpose: Required[FilePurpose]
    expires_after: ExpiresAfter


BATCH = BatchCreateParams
CHAT = ChatCreateParams
COMPLETION = CompletionCreateParamsNonStreaming
DECISION = DecisionCreateParams
EMBEDDING = EmbeddingCreateParams
JOB = JobCreateParams
UPLOAD = UploadCreateParams
UPLOAD_COMPLETE = UploadCompleteParams


@cache
def validator(params: Any) -> SchemaValidator:
    return SchemaValidator(_strict(TypeAdapter(params).core_schema))


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "json-or-python":
        return _strict(schema["json_schema"])
    made = {key: value if key == "expected" else _strict(value) for key, value in schema.items()}
    if schema.get("type") == "generator":
        made["type"] = "list"
    if schema.get("type") == "typed-dict":
        made["extra_behavior"] = "forbid"
    return made


def read_json(request: Request) -> Any:
    try:
        return request.json
    except ValueError as error:
        raise bad_request(
            "We could not parse the JSON body of your request. (HINT: This likely means you "
            "aren't using your HTTP library correctly.)"
        ) from error


def checked(params: Any, body: Any, extra: Iterable[str] = ()) -> dict[str, Any]:
    """`body` when it is what the SDK's type says. Raises ApiError (400) otherwise.

    extra: fields at the top that this server allows beside
    """
    if not isinstance(body, dict):
        raise bad_request("The request body is not a JSON object.", "invalid_type")
    extra = set(extra)
    known = {k: v for k, v in body.items() if k not in extra} if extra else body
    try:
        validator(params).validate_python(known, strict=True)
    except ValidationError as error:
        raise _refusal(error) from error
    _check_metadata(body.get("metadata"))
    return body


_CODES = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}


def _refusal(error: ValidationError) -> ApiError:
    # The deepest complaint is about the member of a union that the caller meant.
    problems = error.errors(include_url=False, include_input=False)
    problem = max(problems, key=lambda p: (len(p["loc"]), p["type"] == "extra_forbidden"))
    place = _place(problem["loc"])
    code = _CODES.get(problem["type"], "invalid_type")
    if code == "missing_required_parameter":
        message = f"Missing required parameter: '{place}'."
    elif code == "unknown_parameter":
        message = f"Unknown parameter: '{place}'."
    else:
        message = f"Invalid type for '{place}': {problem['msg']}."
    return bad_request(message, code, place)


def _place(location: tuple[int | str, ...]) -> str:
    # Names of union members ('str', 'ChatCompletionUserMessageParam') are no part of the body.
    steps = [f"[{s}]" if isinstance(s, int) else s for s in location]
    named = [s for s in steps if s.startswith("[") or (s.islower() and "[" not in s)]
    return ".".join(s for s in named if s not in ("str", "list", "int")).replace(".[", "[")


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if len(metadata) > 16:
        raise bad_request(
            "Invalid 'metadata': too many properties. Expected an object with at most 16 "
            f"properties, but got an object with {len(metadata)} properties instead.",
            "object_above_max_properties", "metadata",
        )  # fmt: skip
    for key, value in metadata.items():
        if len(key) > 64 or len(value) > 512:
            raise bad_request(
                f"Invalid 'metadata.{key}': string too long.", "string_above_max_length", "metadata"
            )


def check_range(place: str, value: Any, low: float, high: float) -> None:
    """Raises ApiError (400) for a number outside the range; anything else passes."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if low <= value <= high:
        return
    which, limit, sign = ("above", high, "<=") if value > high else ("below", low, ">=")
    name = "maximum" if which == "above" else "minimum"
    kind = "integer" if isinstance(value, int) else "decimal"
    raise bad_request(
        f"Invalid '{place}': {kind} {which} {name} value. Expected a value {sign} {limit:g}, but "
        f"got {value} instead.",
        f"{kind}_{which}_{name[:3]}_value",
        place,
    )


def dump(model: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """`data` after the SDK's own model has read it: every answer goes this way."""
    return model.model_validate(data).model_dump(mode="json", exclude_unset=True)


def answer(model: type[BaseModel], data: dict[str, Any]) -> Response:
    return Response(json.dumps(dump(model, data)).encode())


_proven: set[tuple[type[BaseModel], Hashable]] = set()


def answer_again(model: type[BaseModel], data: dict[str, Any], shape: Hashable) -> Response:
    """As `answer`, and faster: the SDK's model reads the first answer of each shape alone.

    shape: equal for answers that differ in nothing but numbers, texts, and the length of lists
    """
    if (model, shape) not in _proven:
        made = dump(model, data)
        if made != data:
            raise ValueError(f"{model.__name__} makes {made} of {data}.")
        _proven.add((model, shape))
    return Response(to_json(data))


def page(
    request: Request,
    items: list[dict[str, Any]],
    *,
    default: int = 20,
    most: int = 100,
    ends: bool = True,
) -> Response:
    """The part of `items` that `after` and `limit` ask for.

    ends: whether the answer carries first_id and last_id
    """
    limit = read_limit(request, default, most)
    after = request.params.get("after")
    if after is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise bad_request(f"No such object: {after}", param="after")
        items = items[ids.index(after) + 1 :]
    part = items[:limit]
    body: dict[str, Any] = {"object": "list", "data": part, "has_more": len(items) > limit}
    if ends:
        body["first_id"] = part[0]["id"] if part else None
        body["last_id"] = part[-1]["id"] if part else None
    return Response(json.dumps(body).encode())


def read_limit(request: Request, default: int, most: int) -> int:
    given = request.params.get("limit")
    if given is None:
        return default
    if not given.isdigit():
        raise bad_request("Invalid type for 'limit': expected an integer.", "invalid_type", "limit")
    check_range("limit", int(given), 1, most)
    return int(given)
