"""Refusals in the form in which OpenAI's API words them."""

from __future__ import annotations

import json

from .http import Response


class ApiError(Exception):
    """Answered with `status` and OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response(self) -> Response:
        return Response(json.dumps(self.body).encode(), self.status, dict(self.headers))


def bad_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    return ApiError(400, message, code=code, param=param)


def no_such(what: str, id: str) -> ApiError:
    return ApiError(404, f"No such {what} object: {id}", param="id")


def no_such_model(id: str) -> ApiError:
    return ApiError(
        404,
        f"The model `{id}` does not exist or you do not have access to it.",
        code="model_not_found",
    )
