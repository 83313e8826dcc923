"""Settings of the operator: declared once, and never misunderstood in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasette.app import Datasette
from folders import ROOT as FOLDER
from visiting import is_065

import datasette_ftclassify
from datasette_ftclassify.core.errors import AccessError
from datasette_ftclassify.core.settings import SETTINGS, USD_PER_DAY, USD_PER_JOB
from datasette_ftclassify.trainers.configuration import read_access
from datasette_ftclassify.trainers.registry import list_services
from datasette_ftclassify.web.operator_settings import runs_jobs

OF_TESTS = {"FTCLASSIFY_KILLS", "FTCLASSIFY_TOGETHER"}
"""Named where the documents say how something is tested."""


def serve(**settings: Any) -> Datasette:
    where = "metadata" if is_065() else "config"
    return Datasette([], **{where: {"plugins": {"datasette-ftclassify": settings}}})


def test_the_configuration_goes_before_the_environment() -> None:
    environ = {
        "FTCLASSIFY_USD_PER_JOB": "3",
        "FTCLASSIFY_USD_PER_DAY": "",
        "FTCLASSIFY_LEDGER": "l",
    }
    access = read_access({"usd_per_job": 5}, environ)
    assert (access.usd_per_job, access.usd_per_day, access.ledger) == (5, None, "l")
    assert USD_PER_JOB.of({}, environ) == 3
    assert USD_PER_JOB.of({"usd_per_job": None}, environ) is None, "an $env that is not set"
    assert USD_PER_DAY.of({"usd_per_day": 0}, environ) == 0


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"usd_per_jobs": 5}, "no setting usd_per_jobs: did you mean usd_per_job?"),
        ({"USD_PER_DAY": 5}, "no setting USD_PER_DAY"),
        ({"limit": 5}, "no setting limit: there is usd_per_job, "),
        ({"usd_per_day": "much"}, "usd_per_day must be an amount"),
        ({"usd_per_day": True}, "usd_per_day must be an amount"),
        ({"ledger": 5}, "ledger of datasette-ftclassify must be a path"),
        ({"openai": "sk-secret"}, "openai of datasette-ftclassify must be an object"),
    ],
)
async def test_what_makes_no_sense_is_said_at_the_start_and_where_it_counts(
    config: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(AccessError, match=re.escape(told)):
        read_access(config, {})
    await serve(**config).invoke_startup()
    assert told in caplog.text
    assert "sk-secret" not in caplog.text


async def test_settings_of_other_packages_are_theirs(caplog: pytest.LogCaptureFixture) -> None:
    datasette = serve(elsewhere={"api_key": "x"}, permissions={}, worker=False, usd_per_day=1)
    await datasette.invoke_startup()
    assert "datasette-ftclassify" not in caplog.text


@pytest.mark.parametrize(
    ("value", "runs"),
    [(None, True), (True, True), (False, False), ("false", False), ("off", False), ("yes", True)],
)
def test_the_worker_is_switched_off_by_a_text_as_well(value: object, runs: bool) -> None:
    """As the environment gives it, with $env."""
    assert runs_jobs(serve(worker=value)) is runs


def test_no_job_is_run_where_that_setting_makes_no_sense(caplog: pytest.LogCaptureFixture) -> None:
    assert not runs_jobs(serve(worker="perhaps"))
    assert "worker of datasette-ftclassify must be true or false" in caplog.text


def test_every_variable_of_the_code_and_the_documents_is_declared() -> None:
    declared = {setting.variable for setting in SETTINGS if setting.variable}
    package = Path(datasette_ftclassify.__file__).parent
    for files in (package.rglob("*.py"), [FOLDER / "README.md", *FOLDER.glob("docs/*.md")]):
        texts = "".join(path.read_text(encoding="utf-8") for path in files)
        assert set(re.findall(r"FTCLASSIFY_[A-Z_]+", texts)) - OF_TESTS == declared


def test_every_setting_of_the_documents_is_declared() -> None:
    known = {setting.name for setting in SETTINGS if setting.configured}
    known |= {service.name for service in list_services()}
    shown: set[str] = set()
    for path in [FOLDER / "README.md", *FOLDER.glob("docs/*.md")]:
        for block in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            shown |= set(
                (yaml.safe_load(block).get("plugins") or {}).get("datasette-ftclassify", {})
            )
    assert shown <= known
    assert len(shown) >= 5
