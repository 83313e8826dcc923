"""The life of a fine-tuning job, from the validation of its files to its result file."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import math
import uuid
from typing import TYPE_CHECKING, Any

from .examples import Example, InvalidFile, check, read
from .learner import Learner
from .state import Job, StoredModel, new_id, now
from .vocabulary import vocabulary

if TYPE_CHECKING:
    from .app import App

COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
AZURE_COLUMNS = (
    "step", "train_loss", "train_mean_token_accuracy", "valid_loss",
    "validation_mean_token_accuracy", "full_valid_loss", "full_valid_mean_token_accuracy",
)  # fmt: skip
KEPT_CHECKPOINTS = 3


def prepare(app: App, job: Job, files: list[str], form: str) -> None:
    """Copies the data of a new job, so that deleting its files does no harm.

    files: training contents of the model that is tuned further
    """
    record = job.record
    id = record["id"]
    app.state.keep(f"training-{id}", app.state.contents[record["training_file"]])
    if record["validation_file"]:
        app.state.keep(f"validation-{id}", app.state.contents[record["validation_file"]])
    job.plan = {"files": [*files, f"training-{id}"], "form": form}
    job.log(f"Created fine-tuning job: {id}")
    job.log(f"Validating training file: {record['training_file']}")


async def live(app: App, job: Job) -> None:
    """Takes the job from state to state until it ends."""
    while not job.ended:
        status = job.record["status"]
        await asyncio.sleep(app.settings.pace)
        if job.record["status"] != status or status == "paused" or status in app.held:
            await asyncio.sleep(0.005)
            continue
        fate = job.fate
        if fate is not None and fate["stage"] == status:
            if fate["kind"] == "job_stalls":
                await asyncio.sleep(0.05)
                continue
            job.fate = None
            _meet(job, fate)
        else:
            await _STEPS[status](app, job)
        app.state.save()


def _meet(job: Job, fate: dict[str, Any]) -> None:
    if fate["kind"] == "job_fails":
        _fail(job, fate["code"], fate["message"], None)
        return
    status = fate["kind"].removeprefix("job_")
    job.record["status"] = status
    if status == "cancelled":
        job.record["finished_at"] = now()
    job.log(f"The job was {status}")


def _fail(job: Job, code: str, message: str, param: str | None) -> None:
    job.record.update(
        status="failed", finished_at=now(), error={"code": code, "message": message, "param": param}
    )
    job.log(message, "error")


async def _validate(app: App, job: Job) -> None:
    for which in ("training", "validation"):
        if not job.record[f"{which}_file"]:
            continue
        content = app.state.contents[f"{which}-{job.record['id']}"]
        mark = app.settings.dialect == "azure"
        try:
            await asyncio.to_thread(check, content, job.plan["form"], which, wants_mark=mark)
        except InvalidFile as error:
            _fail(job, error.code, str(error), f"{which}_file")
            return
    if job.record["status"] == "validating_files":
        job.record["status"] = "queued"
        job.log("Files validated, moving job to queued state")


async def _begin(app: App, job: Job) -> None:
    n = len(read(app.state.contents[f"training-{job.record['id']}"]))
    defaults = {
        "n_epochs": 3,
        "batch_size": min(max(1, n // 500), 256),
        "learning_rate_multiplier": 2.0,
    }
    chosen = job.record["hyperparameters"]
    for name, value in defaults.items():
        if chosen[name] == "auto":
            chosen[name] = value
    job.record["method"]["supervised"]["hyperparameters"] = chosen
    job.record["status"] = "running"
    job.record["estimated_finish"] = now() + 60
    job.log("Fine-tuning job started")


async def _train(app: App, job: Job) -> None:
    """One epoch, or the end."""
    record = job.record
    epochs = record["hyperparameters"]["n_epochs"]
    learner = await app.learner(tuple(job.plan["files"]), epochs)
    if record["status"] != "running":
        return
    if job.trained_epochs < epochs:
        _epoch(app, job, learner)
        return
    model = job.checkpoints[-1]["fine_tuned_model_checkpoint"].partition(":ckpt-")[0]
    _add_model(app, job, model, epochs, listed=True)
    content = results(job.metrics, azure=app.settings.dialect == "azure")
    if app.settings.base64_results:
        content = base64.b64encode(content)
    file = app.state.add_file(content, "step_metrics.csv", "fine-tune-results")
    examples = read(app.state.contents[f"training-{record['id']}"])
    record.update(
        status="succeeded",
        finished_at=now(),
        estimated_finish=None,
        fine_tuned_model=model,
        result_files=[file["id"]],
        trained_tokens=epochs * sum(_tokens(app, record["model"], e) for e in examples),
    )
    job.log(f"New fine-tuned model created: {model}")
    job.log("The job has successfully completed")


def _epoch(app: App, job: Job, learner: Learner) -> None:
    record = job.record
    epochs, batch = record["hyperparameters"]["n_epochs"], record["hyperparameters"]["batch_size"]
    n = len(read(app.state.contents[f"training-{record['id']}"]))
    per_epoch = math.ceil(n / batch)
    total = per_epoch * epochs
    stride = math.ceil(total / app.settings.metrics)
    done = job.trained_epochs
    for step in range(done * per_epoch + 1, (done + 1) * per_epoch + 1):
        if step % stride == 0 or step % per_epoch == 0:
            job.metrics.append(_metrics(learner, step, per_epoch))
            loss = job.metrics[-1]["train_loss"]
            data = {**job.metrics[-1], "total_steps": total}
            job.log(f"Step {step}/{total}: training loss={loss:.2f}", data=data)
    job.trained_epochs += 1
    if epochs - job.trained_epochs < KEPT_CHECKPOINTS:
        _checkpoint(app, job)


def _metrics(learner: Learner, step: int, per_epoch: int) -> dict[str, Any]:
    """Losses and accuracies at a step, between those after the epochs around it."""
    epoch, within = divmod(step - 1, per_epoch)
    share = (within + 1) / per_epoch
    result = learner.history[epoch]
    k = len(learner.answers)
    before = learner.history[epoch - 1] if epoch else None
    loss = before.train_loss if before else math.log(k)
    accuracy = before.train_accuracy if before else 1 / k
    metrics: dict[str, Any] = {
        "step": step,
        "train_loss": round(loss + share * (result.train_loss - loss), 5),
        "train_mean_token_accuracy": round(
            accuracy + share * (result.train_accuracy - accuracy), 5
        ),
    }
    if result.valid_loss is not None:
        metrics["valid_loss"] = round(result.valid_loss, 5)
        metrics["valid_mean_token_accuracy"] = round(result.valid_accuracy or 0.0, 5)
        if share == 1:
            metrics["full_valid_loss"] = metrics["valid_loss"]
            metrics["full_valid_mean_token_accuracy"] = metrics["valid_mean_token_accuracy"]
    return metrics


def _checkpoint(app: App, job: Job) -> None:
    metrics = job.metrics[-1]
    step = metrics["step"]
    if not job.checkpoints:
        job.plan["model"] = _model_name(app, job)
    model = f"{job.plan['model']}:ckpt-step-{step}"
    _add_model(app, job, model, job.trained_epochs, listed=False)
    job.checkpoints.append(
        {
            "object": "fine_tuning.job.checkpoint",
            "id": new_id("ftckpt", "_"),
            "created_at": now(),
            "fine_tuned_model_checkpoint": model,
            "fine_tuning_job_id": job.record["id"],
            "metrics": metrics,
            "step_number": step,
        }
    )
    job.log(f"Checkpoint created at step {step}")


def _model_name(app: App, job: Job) -> str:
    base, suffix = job.record["model"], job.record["user_provided_suffix"] or ""
    if app.settings.dialect == "azure":
        return f"{base}.ft-{uuid.uuid4().hex}" + (f"-{suffix}" if suffix else "")
    organization = app.settings.organization.removeprefix("org-")
    return f"ft:{base}:{organization}:{suffix}:{uuid.uuid4().hex[:8]}"


def _add_model(app: App, job: Job, id: str, epoch: int, *, listed: bool) -> None:
    app.state.models[id] = StoredModel(
        id=id,
        base=job.record["model"],
        files=job.plan["files"],
        epochs=job.record["hyperparameters"]["n_epochs"],
        epoch=epoch,
        created=now(),
        ready_at=app.clock() + app.settings.ready_seconds,
        listed=listed,
    )


def _tokens(app: App, model: str, example: Example) -> int:
    count = vocabulary(app.settings.models[model].encoding).count
    texts = [example.text, example.answer, *(content for _, content in example.frame)]
    extra = 3 + 4 * len(texts) if example.frame else 0
    return sum(map(count, texts)) + extra


def results(metrics: list[dict[str, Any]], *, azure: bool) -> bytes:
    """The result file: OpenAI's columns, or Azure's, which has -1 where a value is missing."""
    out = io.StringIO()
    columns = AZURE_COLUMNS if azure else COLUMNS
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in metrics:
        named = {
            **row,
            "train_accuracy": row["train_mean_token_accuracy"],
            "validation_mean_token_accuracy": row.get("valid_mean_token_accuracy", -1),
        }
        writer.writerow([named.get(column, -1 if azure else "") for column in columns])
    return out.getvalue().encode()


_STEPS = {"validating_files": _validate, "queued": _begin, "running": _train}
