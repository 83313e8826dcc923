"""Figures of a training: events and result files, whatever they are called there."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from fine_tuning_runs import ROWS, Setting, TrainingLog
from openai_server import OpenAIServer

from datasette_ftclassify.core.service_model import Checkpoint
from datasette_ftclassify.trainers.openai_protocol.training_metrics import best, point, read_results

OPENAI = b"""step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy
1,1.52347,0.0,1.40,0.25
2,0.57719,0.5,,
3,3.52525,NaN,0.91,0.75
"""
AZURE = b"""\
step,train_loss,train_mean_token_accuracy,valid_loss,validation_mean_token_accuracy,\
full_valid_loss,full_valid_mean_token_accuracy
1,1.52,0.1,-1.0,-1.0,-1,-1
2,0.57,0.5,0.6,0.7,0.61,0.72
"""
POINTS = [
    {"step": 1, "train_loss": 1.52347, "train_mean_token_accuracy": 0.0, "valid_loss": 1.40,
     "valid_mean_token_accuracy": 0.25},
    {"step": 2, "train_loss": 0.57719, "train_mean_token_accuracy": 0.5},
    {"step": 3, "train_loss": 3.52525, "valid_loss": 0.91, "valid_mean_token_accuracy": 0.75},
]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        OPENAI,
        base64.b64encode(OPENAI),
        base64.encodebytes(OPENAI),
        b"\xef\xbb\xbf" + OPENAI.replace(b"\n", b"\r\n"),
    ],
    ids=["plain", "base64", "in lines", "mark and CRLF"],
)
def test_the_columns_of_openai(content: bytes):
    assert read_results(content) == POINTS


def test_the_columns_of_azure_where_minus_one_is_nothing():
    assert read_results(AZURE) == [
        {"step": 1, "train_loss": 1.52, "train_mean_token_accuracy": 0.1},
        {"step": 2, "train_loss": 0.57, "train_mean_token_accuracy": 0.5, "valid_loss": 0.6,
         "valid_mean_token_accuracy": 0.7, "full_valid_loss": 0.61,
         "full_valid_mean_token_accuracy": 0.72},
    ]  # fmt: skip


def test_steps_are_put_in_order_and_odd_columns_left_out():
    content = b"Step, train_loss ,note\n2,0.5,x\n1,0.7,y\n,0.1,z\nthree,0.2,\n"
    assert read_results(content) == [{"step": 1, "train_loss": 0.7}, {"step": 2, "train_loss": 0.5}]


@pytest.mark.parametrize(
    "content",
    [b"", b"<html><body>gone</body></html>", b"a,b\n1,2\n", b"step,train_loss\n", b"\x00\xff,\n",
     b"step,train_loss\n-1,0.3\n", b'step,"' + b"x" * 200_000],
)  # fmt: skip
def test_what_is_no_result_file(content: bytes):
    with pytest.raises(ValueError, match="result file"):
        read_results(content)


def test_the_figures_of_an_event():
    data = {
        "step": 12, "total_steps": 40, "train_loss": 0.25, "full_valid_loss": None, "eta": 3,
        "valid_loss": float("inf"), "usage_metrics": {}, "train_accuracy": True,
    }  # fmt: skip
    assert point(data) == {"step": 12, "total_steps": 40, "train_loss": 0.25}
    assert isinstance(point({"step": 12.0})["step"], int)
    assert point({}) == {}


def test_the_best_checkpoint_by_all_validation_examples_where_they_were_looked_at():
    kept = [
        Checkpoint(1, "m1", {"valid_loss": 0.1, "full_valid_loss": 0.3}),
        Checkpoint(2, "m2", {"valid_loss": 0.4, "full_valid_loss": 0.2}),
    ]
    assert best(kept) is kept[1]
    some = [Checkpoint(1, "m1", {"valid_loss": 0.1}), Checkpoint(2, "m2", {})]
    assert best(some) is some[0]
    assert best(some[1:]) is None


# At a server


@pytest.fixture
def setting(vocabularies: Path, no_certificates: None, openai_server: OpenAIServer) -> Setting:
    openai_server.settings.pace, openai_server.settings.metrics = 0.0, 4
    return Setting(openai_server, rows=ROWS)


@pytest.mark.parametrize("packed", [True, False])
def test_a_training_ends_with_its_curve_and_checkpoints(setting: Setting, packed: bool):
    setting.server.settings.base64_results = packed
    setting.epochs = 4
    report = setting.train(TrainingLog()).report
    assert [p["step"] for p in report["curve"]] == [12, 24, 36, 48]
    assert [c["step"] for c in report["checkpoints"]] == [24, 36, 48]
    assert all(c["model"].endswith(f":ckpt-step-{c['step']}") for c in report["checkpoints"])
    loss = report["curve"][-1]["valid_loss"]
    assert f"The validation loss ended at {loss:.3f}" in report["why"]


@pytest.mark.parametrize("kind", ["not_found", "forbidden", 500])
def test_without_its_result_file_the_curve_is_from_events(setting: Setting, kind: str | int):
    whole = setting.train(TrainingLog()).report["curve"]
    setting.server.faults.add("GET /files/*/content", kind, times=None)
    report = setting.train(TrainingLog()).report
    assert [p["step"] for p in report["curve"]] == [p["step"] for p in whole]
    assert any("result file could not be read" in w for w in report["warnings"])


def test_a_result_file_that_is_none_is_a_warning(setting: Setting):
    training_log = TrainingLog()
    whole = setting.train(training_log).report
    (id,) = whole["service"]["result_files"]
    setting.server.state.contents[id] = b"<html>gone</html>"
    report = setting.train(training_log).report
    assert [p["step"] for p in report["curve"]] == [p["step"] for p in whole["curve"]]
    assert any("no column of steps" in w for w in report["warnings"])


@pytest.mark.parametrize("kind", ["not_found", "malformed_json", 500])
def test_checkpoints_and_dates_are_not_indispensable(setting: Setting, kind: str | int):
    faults = setting.server.faults
    faults.add("GET /fine_tuning/jobs/*/checkpoints", kind, times=None)
    faults.add("GET /models/*", kind, times=None)
    tuned = setting.train(TrainingLog())
    assert tuned.report["checkpoints"] == []
    assert tuned.report["shutdown_date"] is None
    assert any("checkpoints could not be read" in w for w in tuned.report["warnings"])


def test_a_model_that_is_not_there_yet_has_the_date_of_its_base(setting: Setting):
    setting.server.settings.ready_seconds = 60
    setting.server.faults.add("GET /models/*", "model_not_ready")
    assert setting.train(TrainingLog()).report["shutdown_date"] == "2099-01-14"


def test_the_name_of_the_model_is_waited_for(setting: Setting):
    training_log = TrainingLog()
    tuned = setting.train(training_log)
    record = setting.server.jobs[tuned.report["service"]["job"]].record
    record["fine_tuned_model"] = None

    def name(waits: int) -> None:
        record["fine_tuned_model"] = tuned.header["model"]

    training_log.on_wait = name
    assert setting.train(training_log).header["model"] == tuned.header["model"]
