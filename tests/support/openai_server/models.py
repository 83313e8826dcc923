"""Models: those on offer, and those that jobs left behind."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from openai.types import Model, ModelDeleted

from .errors import ApiError, no_such_model
from .http import Request, Response
from .schemas import answer, dump
from .settings import BaseModelInfo
from .state import StoredModel

if TYPE_CHECKING:
    from .app import App

CREATED = 1_744_588_800


def _record(app: App, id: str) -> dict[str, Any]:
    tuned = app.state.models.get(id)
    info = app.settings.models[tuned.base if tuned else id]
    shutdown = (tuned.shutdown_date if tuned else None) or info.shutdown_date
    record = {
        "id": id,
        "object": "model",
        "created": tuned.created if tuned else CREATED,
        "owned_by": app.settings.organization if tuned else "system",
    }
    if app.settings.dialect != "azure":
        return {**record, "shutdown_date": shutdown}
    # Azure's reference of its models ("Models - List") has seconds since 1970.
    day = datetime.datetime.fromisoformat(f"{shutdown or '2030-01-01'}T00:00:00+00:00")
    return {**record, "deprecation": {"inference": int(day.timestamp())}}


async def list_models(app: App, request: Request) -> Response:
    tuned = [id for id, model in app.state.models.items() if model.listed]
    data = [dump(Model, _record(app, id)) for id in [*app.settings.models, *tuned]]
    return Response(json.dumps({"object": "list", "data": data}).encode())


async def retrieve(app: App, request: Request, id: str) -> Response:
    if id not in app.state.models and id not in app.settings.models:
        raise no_such_model(id)
    return answer(Model, _record(app, id))


async def delete(app: App, request: Request, id: str) -> Response:
    if id in app.settings.models:
        raise ApiError(403, f"You have insufficient permissions to delete the model {id}.")
    if id not in app.state.models:
        raise no_such_model(id)
    del app.state.models[id]
    return answer(ModelDeleted, {"id": id, "object": "model", "deleted": True})


def resolve(app: App, name: str, form: str) -> tuple[str, BaseModelInfo, StoredModel | None]:
    """The exact id of a model that answers in this form, what it grew from, and itself if tuned.

    Raises ApiError when there is none, it is not ready, shut down, or of another form.
    """
    if app.settings.dialect == "azure":
        name = _deployed(app, name)
    tuned = app.state.models.get(name)
    id = name if tuned else app.dated(name)
    info = app.settings.models.get(tuned.base if tuned else id)
    if info is None or (tuned and app.clock() < tuned.ready_at):
        raise no_such_model(name)
    shutdown = (tuned.shutdown_date if tuned else None) or info.shutdown_date
    if shutdown and shutdown <= datetime.date.fromtimestamp(app.clock()).isoformat():
        raise ApiError(
            404,
            f"The model `{name}` has been deprecated, learn more here: "
            "https://platform.openai.com/docs/deprecations",
            code="model_not_found",
        )
    if info.form != form:
        raise _wrong_endpoint(form)
    return id, info, tuned


def _wrong_endpoint(form: str) -> ApiError:
    if form == "chat":
        message = (
            "This is not a chat model and thus not supported in the v1/chat/completions "
            "endpoint. Did you mean to use v1/completions?"
        )
    else:
        message = (
            f"This model is not supported in this endpoint, which is for {form} models. "
            "Did you mean to use v1/chat/completions?"
        )
    return ApiError(404, message, param="model")


def _deployed(app: App, name: str) -> str:
    if name in app.state.deployments:
        return app.state.deployments[name]
    if name in app.settings.models:
        return name
    raise ApiError(
        404,
        "The API deployment for this resource does not exist. If you created the deployment "
        "within the last 5 minutes, please wait a moment and try again.",
        code="DeploymentNotFound",
    )


ROUTES = {"GET /models": list_models, "GET /models/{id}": retrieve, "DELETE /models/{id}": delete}
