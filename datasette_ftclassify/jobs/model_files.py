"""A classifier as a folder of plain files, and from one database into another.

Nothing in such a folder can run here: JSON and arrays, whose sizes are checked before they are
read, and which are loaded as a stored classifier is before anything is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from ..core.database import path_of
from ..core.errors import ArtifactError, FtclassifyError, SourceError
from ..core.labels import LabelSet
from ..core.new_files import writing_into
from ..core.prediction import Answerer, fits
from ..core.task import Task
from ..core.training_report import Header, TrainingReport
from ..core.typed_json import read_stored
from ..core.untrusted_json import MOST_BYTES, JsonObject, read_object
from ..metrics.stored import read_metrics
from ..store.artifacts import MAX_ARTIFACT, MAX_PARTS
from ..store.card_notes import LONGEST, CardNotes, card_notes, keep_notes
from ..store.classifiers import Classifier, add_classifier, check_name
from ..store.evaluations import TEST, add_evaluation, evaluation_text
from ..store.minimum_scores import MinimumScore, find_minimum, set_minimum
from ..store.reports import read_report
from ..store.schema import ensure_schema, transaction
from ..store.splits import StoredPlan, add_split, split_plan
from ..trainers.base import Learner
from ..trainers.registry import get_trainer
from .as_published import without_machine
from .load_classifier import label_thresholds, load_answerer, parts_of, service_of

FORMAT = 1
"""Of the folder."""

MODEL, CARD, SCORER = "model.json", "README.md", "classify.py"
_PART = re.compile(r"[a-z][a-z_]{0,40}")
_SUM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PortableModel:
    """All that a classifier is outside of a database: no keys of rows, and no jobs.

    metrics: of the newest test, as JSON; None: it was not evaluated
    """

    name: str
    trainer: str
    labels: LabelSet
    task: Task
    plan: StoredPlan
    seed: int
    training_rows: int
    header: Header
    report: TrainingReport
    parts: Mapping[str, bytes]
    metrics: str | None
    notes: CardNotes
    minimum: MinimumScore | None

    @property
    def title(self) -> str:
        return self.name


def read_model(conn: sqlite3.Connection, classifier: Classifier) -> PortableModel:
    """From a database. Raises ArtifactError where it is damaged."""
    elsewhere = service_of(classifier) is not None
    if not elsewhere:
        load_answerer(conn, classifier)  # what answers nothing is not passed on
    minimum = find_minimum(conn, classifier)
    return PortableModel(
        name=classifier.name,
        trainer=classifier.trainer,
        labels=classifier.labels,
        task=classifier.task,
        plan=split_plan(conn, classifier.split_id),
        seed=classifier.seed,
        training_rows=classifier.training_rows,
        header=classifier.header,
        report=classifier.report,
        parts=parts_of(conn, classifier),
        metrics=evaluation_text(conn, classifier),
        notes=card_notes(conn, classifier),
        minimum=None if minimum is None else replace(minimum, set_by=None),
    )


def store_model(
    conn: sqlite3.Connection, model: PortableModel, name: str | None = None
) -> Classifier:
    """Into a database, as the next version of its name or of another one."""
    from ..trainers.encoders.made_here import note_use

    name = check_name(model.name if name is None else name)
    ensure_schema(conn)
    note_use(model.header, path_of(conn))
    with transaction(conn):
        classifier = add_classifier(
            conn,
            name=name,
            trainer=model.trainer,
            labels=model.labels,
            task=model.task,
            split_id=add_split(conn, model.task, model.plan, []),
            seed=model.seed,
            training_rows=model.training_rows,
            header=model.header,
            parts=model.parts,
            report=model.report,
        )
        if model.metrics is not None:
            metrics = read_metrics(model.metrics)
            metrics["classifier"], metrics["version"] = classifier.name, classifier.version
            add_evaluation(conn, classifier, TEST, metrics)
        if model.notes:
            keep_notes(conn, classifier, model.notes)
        if model.minimum is not None:
            set_minimum(conn, classifier, model.minimum)
    return classifier


def export_model(
    conn: sqlite3.Connection, classifier: Classifier, folder: str | Path, card: str
) -> tuple[str, ...]:
    """Writes a folder that is not there yet, or is empty; gives the names of its files.

    card: its text, for people
    Raises FtclassifyError for a model that is at a service, and for a folder with files.
    """
    if service_of(classifier) is not None:
        raise FtclassifyError(
            f"The model of {classifier.title} is at a service ({classifier.trainer}): there is "
            "nothing here to export. To another database it can be copied."
        )
    target = Path(folder).resolve()  # a link to a folder is one
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SourceError(f"{target} exists and is not an empty folder: choose another one.")
    model = read_model(conn, classifier)
    files = {f"{name}.bin": data for name, data in model.parts.items()}
    files[MODEL] = json.dumps(_about(model), ensure_ascii=False, indent=1).encode()
    files[CARD] = card.encode()
    files[SCORER] = (Path(__file__).parents[1] / "export" / "numpy_scorer.py").read_bytes()
    # Whole or not at all: it gets its name when everything is in it.
    with writing_into(target.parent):
        made = Path(tempfile.mkdtemp(prefix=".export-model-", dir=target.parent))
    try:
        for name, data in files.items():
            (made / name).write_bytes(data)
        made.chmod(0o755)
        made.replace(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return tuple(sorted(files))


def _about(model: PortableModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "made_by": "datasette-ftclassify",
        "name": model.name,
        "trainer": model.trainer,
        "labels": model.labels.to_dict(),
        "task": model.task.to_dict(),
        "split": model.plan,
        "seed": model.seed,
        "training_rows": model.training_rows,
        "header": dict(model.header),
        "report": without_machine(model.report),
        "metrics": None if model.metrics is None else json.loads(model.metrics),
        "notes": asdict(model.notes),
        "minimum_score": None if model.minimum is None else model.minimum.to_dict(),
        "parts": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in model.parts.items()
        },
    }


def load_model(folder: str | Path) -> tuple[PortableModel, Answerer]:
    """From a folder that anybody may have written. Raises ArtifactError, which says what is wrong
    with it, and SourceError where there is none."""
    root = Path(folder)
    if not (root / MODEL).is_file():
        raise SourceError(f"{root} is not a model folder: it has no {MODEL}.")
    about = read_object(_bytes(root / MODEL, MOST_BYTES).decode("utf-8", "replace"), MODEL)
    if about.get("format") != FORMAT:
        raise ArtifactError(
            f"{root} has format {str(about.get('format'))[:20]!r}, and this version reads "
            f"{FORMAT}: upgrade datasette-ftclassify."
        )
    model = _described(about, _parts(root, about.get("parts")))
    trainer = get_trainer(model.trainer)
    if not isinstance(trainer, Learner):
        raise ArtifactError(
            f"The model of {root} is at a service ({model.trainer}) that charges per request, and "
            "a folder only holds local models. Use it on a table in a database, which shows the "
            "price first."
        )
    predictor = trainer.load(model.header, model.parts)
    if not fits(predictor, model.labels):
        raise ArtifactError(f"{root} is damaged: its labels do not fit its weights.")
    return model, Answerer(predictor, model.labels, label_thresholds(model.minimum))


class _Required(TypedDict):
    name: str
    trainer: str
    labels: LabelSet
    task: Task
    split: StoredPlan
    seed: int
    training_rows: int
    header: JsonObject
    report: JsonObject


class _About(_Required, total=False):
    """What `_about` has written, but for the parts."""

    metrics: JsonObject | None
    notes: CardNotes | None
    minimum_score: JsonObject | None


def _described(about: JsonObject, parts: Mapping[str, bytes]) -> PortableModel:
    known = read_stored(_About, about, f"The {MODEL} was", "export the model again")
    labels, notes = known["labels"], known.get("notes") or CardNotes()
    kept = None if known.get("metrics") is None else json.dumps(known["metrics"])
    if kept is not None:
        read_metrics(kept)
    numbers = (known["seed"], known["training_rows"])
    if not all(0 <= n < 2**53 for n in numbers) or max(map(len, astuple(notes))) > LONGEST:
        raise ArtifactError(f"The {MODEL} is damaged: something in it is too large.")
    minimum = known.get("minimum_score")
    return PortableModel(
        name=known["name"],
        trainer=known["trainer"],
        labels=labels,
        task=known["task"],
        plan=known["split"],
        seed=known["seed"],
        training_rows=known["training_rows"],
        header=known["header"],
        report=read_report(json.dumps(known["report"])),
        parts=parts,
        metrics=kept,
        notes=notes,
        minimum=None if minimum is None else _minimum(minimum, labels),
    )


def _minimum(data: JsonObject, labels: LabelSet) -> MinimumScore:
    what = f"The minimum score in {MODEL} was"
    found = read_stored(MinimumScore, data, what, "export the model again")
    if not found.fits(labels):
        raise ArtifactError(f"The minimum score in {MODEL} is not one for these labels.")
    return replace(found, set_by=None)


def _parts(root: Path, declared: object) -> dict[str, bytes]:
    """The arrays: all sizes are added up before anything is read."""
    if not isinstance(declared, dict) or len(declared) > MAX_PARTS:
        raise ArtifactError(f"The {MODEL} is damaged: it does not list its parts.")
    sizes: dict[str, int] = {}
    for name, one in declared.items():
        size = one.get("bytes") if isinstance(one, dict) else None
        if not _PART.fullmatch(name) or type(size) is not int or size < 0:
            raise ArtifactError(f"The {MODEL} is damaged: a part of it is not described.")
        if not _SUM.fullmatch(str(one.get("sha256"))):
            raise ArtifactError(f"The {MODEL} is damaged: the part {name} has no checksum.")
        sizes[name] = size
    if sum(sizes.values()) > MAX_ARTIFACT:
        raise ArtifactError(f"The model has {sum(sizes.values()):,} bytes: too many.")
    found = {}
    for name, size in sizes.items():
        path = root / f"{name}.bin"
        data = _bytes(path, size)
        if len(data) != size or hashlib.sha256(data).hexdigest() != declared[name]["sha256"]:
            raise ArtifactError(f"{path} was changed, or is not whole: export the model again.")
        found[name] = data
    return found


def _bytes(path: Path, most: int) -> bytes:
    """Of a plain file: no device, and nothing that a link leads to. Raises ArtifactError."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ArtifactError(f"{path} is no plain file.")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > most:
        raise ArtifactError(f"{path} has more than {most:,} bytes: too many.")
    return data
