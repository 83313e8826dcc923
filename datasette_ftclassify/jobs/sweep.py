"""A sweep: one task trained in several ways, from which the best is chosen without the test rows.

It is no more than ordinary training jobs that belong together: their settings name the sweep, whose
id follows from what was asked for. So the same request finds the same jobs, one that was killed
goes on, and there is nothing else to keep.

What is compared are answers to rows that a model has not seen: out of fold, where it is trained by
cross-validation on this machine, else of the validation rows. The test rows judge the chosen one
alone, once.
"""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from ..core.errors import FtclassifyError, LimitReached, TrainingError
from ..core.humanize import dollars, price
from ..core.splits import SplitPlan
from ..core.task import Task
from ..store.jobs.job import Job
from ..store.jobs.queries import newest_jobs
from ..store.jobs.state import get_job
from ..store.jobs.states import UNFINISHED
from ..store.schema import ensure_schema, transaction
from ..trainers.access import Access
from ..trainers.base import TrainerOptions, check_options, options_of
from ..trainers.options import Option
from ..trainers.registry import get_trainer
from ..trainers.service import Service
from .agreements import ask
from .confirming import TrainConfirmation, confirm_train
from .train import submit_train
from .train_request import TrainRequest

MOST_TRAININGS = 50
"""Of one sweep, all seeds counted."""

MOST_JOBS = 1_000
"""Trainings among which those of a sweep are looked for, the newest of a file."""

LOCAL = "local"

Require = Callable[[Option, Any], None]


@dataclass(frozen=True)
class Variant:
    """A trainer with what it is told besides the seed."""

    trainer: str
    said: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, require: Require = lambda option, value: None) -> Variant:
        """From `TRAINER OPTION=VALUE …`, such as `openai model=gpt-x epochs=3`; a value with a
        space in quotes. Raises TrainingError for what means nothing to the trainer.

        require: raises for a value that whoever says it may not choose, before it is looked at
        """
        try:
            name, *words = shlex.split(text)
        except ValueError as error:
            raise TrainingError(
                f"A variant is TRAINER OPTION=VALUE …, not {text[:100]!r}.", fields=("variants",)
            ) from error
        trainer = get_trainer(name)
        known = options_of(trainer)
        said = {}
        for word in words:
            option, equals, value = word.partition("=")
            option = option.replace("-", "_")
            if not equals or option not in known:
                raise TrainingError(
                    f"{word[:100]} is not an option of the trainer {name}: it takes "
                    f"{', '.join(known) or 'none'}, each as OPTION=VALUE.",
                    fields=("variants",),
                )
            said[option] = _value(known[option], value)
            require(known[option], said[option])
        variant = cls(name, said)
        check_options(trainer, variant.options(0))
        return variant

    @property
    def title(self) -> str:
        words = [f"{name}={_text(value)}" for name, value in self.said.items()]
        return " ".join([self.trainer, *words])

    def options(self, seed: int) -> TrainerOptions:
        return TrainerOptions.of(self.said, seed)


def _value(option: Option, text: str) -> Any:
    try:
        if option.kind == "whole":
            return int(text)
        if option.kind == "number":
            return float(text)
        if option.kind in ("object", "meanings"):
            found = json.loads(text)
            if isinstance(found, dict):
                return found
            raise ValueError
    except (ValueError, RecursionError):
        raise TrainingError(
            f"The option {option.name} cannot be {text[:100]}.", fields=("variants",)
        ) from None
    return text


def _text(value: Any) -> str:
    return shlex.quote(json.dumps(value) if isinstance(value, Mapping) else str(value))


@dataclass(frozen=True)
class Sweep:
    """What is to be compared.

    name:     that the names of its classifiers begin with
    variants: each a classifier of its own, whose versions are its seeds
    seeds:    how many trainings of each, with seeds from that of the plan on
    hosts:    by trainer, where the rows may be sent to
    """

    task: Task
    plan: SplitPlan
    name: str
    variants: tuple[Variant, ...]
    seeds: int = 1
    hosts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        task: Task,
        plan: SplitPlan,
        variants: Sequence[str],
        *,
        name: str | None = None,
        seeds: int = 1,
        access: Access | None = None,
        require: Require = lambda option, value: None,
    ) -> Sweep:
        """The local trainer is always among the variants. Raises TrainingError for no sweep.

        require: as of `Variant.parse`
        """
        texts = [text for text in variants if text.strip()]
        parsed = dict.fromkeys(Variant.parse(text, require).title for text in texts)
        found = [Variant.parse(title) for title in parsed]
        if not any(variant.trainer == LOCAL for variant in found):
            found.insert(0, Variant(LOCAL))
        if seeds < 1 or len(found) * seeds > MOST_TRAININGS:
            raise TrainingError(
                f"A sweep can have 1 to {MOST_TRAININGS} trainings, not {len(found) * seeds:,}.",
                fields=("seeds",),
            )
        if len(found) * seeds == 1:
            raise TrainingError(
                "There is nothing to compare: name another variant, or take several seeds.",
                fields=("variants",),
            )
        unseen = [v.trainer for v in found if v.trainer != LOCAL]
        if unseen and not (plan.validation or task.split_column):
            raise TrainingError(
                f"What {unseen[0]} trains is compared by the validation rows: give them a share.",
                fields=("validation",),
            )
        hosts = {}
        for variant in found:
            trainer = get_trainer(variant.trainer)
            if isinstance(trainer, Service) and access is not None:
                hosts[variant.trainer] = trainer.host(access.endpoint(trainer.name))
        named = TrainRequest(name=name, plan=plan).settings(task)["name"]
        return cls(task, plan, named, tuple(found), seeds, hosts)

    @property
    def id(self) -> str:
        words = [self.task.to_dict(), asdict(self.plan), self.name, self.seeds, dict(self.hosts)]
        words.append([variant.title for variant in self.variants])
        text = json.dumps(words, sort_keys=True, default=str)
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def names(self) -> list[str]:
        """Of the classifiers, one for each variant."""
        plain = [re.sub(r"[^\w.=]+", "-", variant.title).strip("-") for variant in self.variants]
        return [f"{self.name[:50]}-{text[:40]}-{i}" for i, text in enumerate(plain, 1)]

    def requests(self) -> list[TrainRequest]:
        """All trainings, one seed of every variant after the other."""
        return [
            TrainRequest(
                name=name,
                trainer=variant.trainer,
                plan=self.plan,
                options=variant.options(self.plan.seed + number),
                curve=False,
                host=self.hosts.get(variant.trainer),
                sweep=self.id,
            )
            for number in range(self.seeds)
            for name, variant in zip(self.names(), self.variants, strict=True)
        ]


@dataclass(frozen=True)
class SweepPrice:
    """What the trainings that are still to be done cost together.

    confirmations: of each request of the sweep; None: it is free, or was done
    """

    requests: tuple[TrainRequest, ...]
    confirmations: tuple[TrainConfirmation | None, ...]

    @property
    def paid(self) -> list[TrainConfirmation]:
        return [found for found in self.confirmations if found is not None]

    @property
    def usd(self) -> float | None:
        return _sum([found.estimate.usd for found in self.paid])

    @property
    def most_usd(self) -> float | None:
        return _sum([found.estimate.most_usd for found in self.paid])

    @property
    def text(self) -> str:
        return price(self.usd, self.most_usd)

    def limits(self, limit_usd: float | None) -> list[float | None]:
        """What each training may cost: a limit for all, divided by what each may come to, so that
        together they never cost more. Raises LimitReached when that does not suffice."""
        if limit_usd is None or not self.paid:
            return [None] * len(self.requests)
        most = self.most_usd
        if most is None:
            raise LimitReached(
                "No limit can be kept for all: the price of a training is not known. Nothing was "
                "sent.",
                fields=("limit_usd",),
            )
        if most > limit_usd:
            raise LimitReached(
                f"It would cost {self.text}, more than the limit of {dollars(limit_usd)} for all "
                "trainings together. Nothing was sent. Leave out variants or seeds, or raise the "
                "limit.",
                fields=("limit_usd",),
            )
        parts = [0.0 if c is None else c.estimate.most_usd or 0.0 for c in self.confirmations]
        if not most:
            return [None if c is None else limit_usd for c in self.confirmations]
        shares = [limit_usd * part / most for part in parts]
        return [
            None if c is None else share
            for c, share in zip(self.confirmations, shares, strict=True)
        ]


def _sum(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def price_sweep(
    conn: sqlite3.Connection, sweep: Sweep, access: Access, *, download: bool = False
) -> SweepPrice:
    """Sends no request and writes nothing. Raises what would stop one of the trainings before it
    was sent: TrainingError, AccessError, or LimitReached."""
    requests = tuple(sweep.requests())
    done = _begun(conn, sweep, requests)
    known: dict[str, TrainConfirmation | None] = {}
    found: list[TrainConfirmation | None] = []
    for request, name in zip(requests, sweep.names() * sweep.seeds, strict=True):
        if _words(request, sweep.task) in done:
            found.append(None)
            continue
        if name not in known:  # another seed costs the same
            known[name] = confirm_train(conn, sweep.task, request, access, download=download)
        found.append(known[name])
    return SweepPrice(requests, tuple(found))


def _is_begun(job: Job) -> bool:
    """Whether it is done, or was agreed to and goes on."""
    return job.state == "finished" or (job.state in UNFINISHED and job.wanted != "cancel")


def _begun(
    conn: sqlite3.Connection, sweep: Sweep, requests: Sequence[TrainRequest]
) -> dict[str, int]:
    """{settings: id of the newest job} of those of the trainings that were begun."""
    wanted = {_words(request, sweep.task) for request in requests}
    found: dict[str, int] = {}
    for job in sweep_jobs(conn, sweep.id):
        words = json.dumps(job.settings, sort_keys=True)
        if words in wanted and _is_begun(job):
            found.setdefault(words, job.id)
    return found


def _words(request: TrainRequest, task: Task) -> str:
    return json.dumps(request.settings(task), sort_keys=True)


def submit_sweep(
    conn: sqlite3.Connection,
    sweep: Sweep,
    price: SweepPrice,
    *,
    limit_usd: float | None = None,
    access: Access | None = None,
) -> list[Job]:
    """The jobs that are still to be done, queued all together, each with a person's agreement.

    Raises LimitReached when the limit for all does not suffice.
    """
    ensure_schema(conn)
    limits = price.limits(limit_usd)
    known = _begun(conn, sweep, price.requests)
    jobs = []
    with transaction(conn):
        for request, found, limit in zip(price.requests, price.confirmations, limits, strict=True):
            number = known.get(_words(request, sweep.task))
            if number is not None:
                job = get_job(conn, number)
            else:
                estimate = None if found is None else found.estimate
                limited = replace(request, limit_usd=limit)
                job = submit_train(conn, sweep.task, limited, estimate, access=access)
            if job.state != "finished":
                jobs.append(job)
    return jobs


def sweep_jobs(conn: sqlite3.Connection, sweep_id: str, table: str | None = None) -> Iterator[Job]:
    """Newest first, read one by one. table: of this one alone: a stranger's file may call anything
    one sweep."""
    found = newest_jobs(conn, MOST_JOBS, kind="train")
    mine = (job for job in found if job.settings.get("sweep") == sweep_id)
    return (job for job in mine if table in (None, job.table))


def sweeps_of(conn: sqlite3.Connection, table: str) -> list[str]:
    """Ids of the sweeps of a table, the newest first."""
    found = (j for j in newest_jobs(conn, MOST_JOBS, kind="train") if j.table == table)
    ids = (job.settings.get("sweep") for job in found)
    return list(dict.fromkeys(sweep for sweep in ids if isinstance(sweep, str)))


def cancel_sweep(
    conn: sqlite3.Connection, sweep_id: str, access: Access, table: str | None = None
) -> int:
    """Asks all trainings of a sweep (of a table) that have not ended to end; gives how many these
    were."""
    asked = 0
    for job in sweep_jobs(conn, sweep_id, table):
        if job.state in UNFINISHED and job.wanted != "cancel":
            try:
                ask(conn, job.id, "cancel", access)
                asked += 1
            except FtclassifyError:
                continue  # it has ended in this moment
    return asked
