"""The demo: a database of invented messages to a town hall, checked, trained and predicted."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ..checks import CheckReport, run_checks
from ..core.database import connect
from ..core.errors import SourceError
from ..core.task import define
from ..core.typed_json import as_json
from ..jobs.plan import PredictRequest
from ..jobs.predict import predict_rows
from ..jobs.predict_result import PredictResult
from ..jobs.train import TrainResult, train_classifier
from ..jobs.train_request import TrainRequest
from ..metrics import headline
from ..sql.functions import register
from ..trainers.base import Progress, no_progress

TABLE = "messages"
CLASSIFIER = "topics"
_COLUMNS = (
    "id integer primary key, received text, ward text, channel text, message text, topic text"
)
_TRY = "the lamp outside our house flickers all night"


@dataclass(frozen=True)
class DemoResult:
    """What the demo found, step by step."""

    path: Path
    checks: CheckReport
    mended: int
    trained: TrainResult
    predicted: PredictResult
    answer: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "database": str(self.path),
            "findings": as_json(self.checks)["findings"],
            "mended": self.mended,
            "classifier": self.trained.classifier.name,
            "metrics": self.trained.metrics,
            "predicted": self.predicted.to_dict(),
            "answer": {"text": _TRY, "label": self.answer},
        }

    def lines(self, datasette: str = "datasette", sqlite_utils: str = "sqlite-utils") -> list[str]:
        """The same for people, with what to type next, and how the programs are called here."""
        assert self.trained.metrics is not None
        found = [f"   {finding.severity:7} {finding.message}" for finding in self.checks.findings]
        return [
            f"1. Checked the {self.checks.rows['total']:,} rows of {TABLE}:",
            *found,
            f"   Corrected {self.mended} labels to the spelling of the other rows; left the rest.",
            f"2. Trained {self.trained.classifier.title} on"
            f" {self.trained.classifier.training_rows:,} labelled rows.",
            f"   {self.trained.classifier.report['why']}",
            f"3. Evaluated it on rows it has not seen: {headline(self.trained.metrics)}",
            f"4. Classified {self.predicted.written:,} rows without a topic into"
            f" {self.predicted.columns.label} and three more columns.",
            f"5. select ft_classify('{_TRY}') answers: {self.answer}",
            "",
            "Next:",
            f"  {datasette} {self.path}",
            "  and in its SQL box, for example:",
            f"    select message, {CLASSIFIER}_label, round({CLASSIFIER}_score, 2) from {TABLE}",
            f"    where topic is null order by {CLASSIFIER}_score",
            f"  {datasette} ftclassify evaluate {self.path} {CLASSIFIER}",
            f"  {sqlite_utils} query {self.path} \"select ft_explain('{_TRY}')\"",
        ]


def run(path: Path, *, overwrite: bool = False, progress: Progress = no_progress) -> DemoResult:
    """Makes the database and takes it through all steps. Raises SourceError if the file exists."""
    if path.exists():
        if not overwrite:
            raise SourceError(
                f"{path} already exists: choose another file, or overwrite it.",
                fields=("overwrite",),
            )
        path.unlink()
    with closing(connect(path, must_exist=False)) as conn:
        load_messages(conn)
        task = define(conn, TABLE, text=["message"], labels=["topic"])
        checks = run_checks(conn, task, leaves_machine=False, progress=progress)
        mended = merge_label_variants(conn)
        trained = train_classifier(conn, task, TrainRequest(name=CLASSIFIER), progress=progress)
        predicted = predict_rows(conn, trained.classifier, TABLE, PredictRequest(unlabelled=True))
        register(conn)
        answer = conn.execute("select ft_classify(?)", [_TRY]).fetchone()[0]
    return DemoResult(path, checks, mended, trained, predicted, answer)


def load_messages(conn: sqlite3.Connection) -> None:
    """Creates the table of messages; an empty topic means not labelled yet."""
    source = files(__package__).joinpath("messages.csv")
    with as_file(source) as path, path.open(encoding="utf-8", newline="") as file, conn:
        conn.execute(f"create table {TABLE} ({_COLUMNS})")
        conn.executemany(
            f"insert into {TABLE} values (:id, :received, :ward, :channel, :message,"
            " nullif(:topic, ''))",
            csv.DictReader(file),
        )


def merge_label_variants(conn: sqlite3.Connection) -> int:
    """Writes labels that differ by case or white space in the commonest way; counts the rows."""
    with conn:
        return conn.execute(
            f"""
            update {TABLE} set topic = (
                select other.topic from {TABLE} other
                where lower(trim(other.topic)) = lower(trim({TABLE}.topic))
                group by other.topic order by count(*) desc limit 1
            )
            where topic in (select topic from {TABLE} group by topic having count(*) = 1)
            """
        ).rowcount
