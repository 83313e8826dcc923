"""`publish-copy`, as it is typed."""

from __future__ import annotations

import inspect
import re
import shlex
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import run, run_json
from datasette.cli import cli as datasette
from datasette.utils import make_dockerfile
from stored import add

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.present.publish_commands import publish_commands, service_name, why_fewer
from datasette_ftclassify.store.answers import CachedAnswer, input_key, keep_answers
from datasette_ftclassify.store.classifiers import find_classifier
from datasette_ftclassify.store.used_version import use_version

ODD = "-my $(data);'.db"


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "mail.db"
    with closing(connect(path, must_exist=False)) as conn:
        with conn:
            conn.execute("create table t (id integer primary key, text)")
            conn.execute("create table other (x)")
            conn.execute("create view v as select text from t")
            texts = [(f"write to person{i}@example.org" if i % 2 else "nothing",) for i in range(8)]
            conn.executemany("insert into t (text) values (?)", texts)
        add(conn)
        add(conn)
        add(conn, "urgent")
    return path


def test_it_says_what_stays_what_goes_and_how_to_publish(mail: Path, tmp_path: Path):
    out = tmp_path / "my out" / "data.db"
    out.parent.mkdir()
    done = run("publish-copy", mail, out, "--table", "t", "--classifier", "topics")
    for line in (
        "  table t, 8 rows", "  classifier topics@2, the default", "  table other, 0 rows",
        "  view v", "  classifier topics@1", "  classifier urgent@1", "  rows of splits: 2",
    ):  # fmt: skip
        assert f"{line}\n" in done.stdout, line
    assert "4 of 8 sampled rows of t have an e-mail address, such as row 2, 4" in done.stderr
    commands = [line for line in done.stdout.splitlines() if line.startswith("  datasette ")]
    assert [shlex.split(line)[:4] for line in commands if "publish " in line] == [
        ["datasette", "publish", host, str(out)] for host in ("cloudrun", "heroku", "fly", "vercel")
    ]
    assert commands[-1] == f"  datasette serve -i {shlex.quote(str(out))}"


def test_one_version_is_the_default_of_the_copy(mail: Path, tmp_path: Path):
    with closing(connect(mail)) as conn:
        use_version(conn, find_classifier(conn, "topics@1"))
    both = [option for n in (1, 2) for option in ("--classifier", f"topics@{n}")]
    said = run("publish-copy", mail, tmp_path / "out.db", *both).stdout
    assert re.findall("classifier (.*), the default", said) == ["topics@1"]
    with closing(connect(tmp_path / "out.db")) as conn:
        assert find_classifier(conn).title == "topics@1"


def test_the_json_is_one_object_with_the_same(mail: Path, tmp_path: Path):
    told = run_json("publish-copy", mail, tmp_path / "out.db")
    assert told["classifiers"] == ["topics@2", "urgent@1"]
    assert told["default"] == "topics@2"
    assert told["tables"] == {"t": 8, "other": 0}
    assert told["views"] == ["v"]
    assert told["removed_classifiers"] == ["topics@1"]
    assert told["ours"]["classifiers"] == {"before": 3, "after": 2}
    assert told["private"][0]["code"] == "email-addresses"
    assert told["packages"] == ["datasette-ftclassify-serve"]
    assert told["bytes_after"] == (tmp_path / "out.db").stat().st_size
    assert set(told["commands"]) == {"cloudrun", "heroku", "fly", "vercel", "serve"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--table", "missing"], "No table or view called missing"),
        (["--table", "_ftclassify_jobs"], "No table or view called _ftclassify_jobs"),
        (["--classifier", "topix"], "topics"),
        ([], "(--force)"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(
    mail: Path, tmp_path: Path, given: list[str], said: str
):
    out = tmp_path / "out.db"
    if not given:
        out.touch()
    done = run("publish-copy", mail, out, *given, code=1)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists() or out.stat().st_size == 0
    assert not list(tmp_path.glob(".publish*"))


def test_what_a_model_at_a_service_answers_in_the_copy_is_said(mail: Path, tmp_path: Path):
    with closing(connect(mail)) as conn:
        header = {"model": "ft:x", "host": "h.example"}
        paid = add(conn, "paid", trainer="openai", parts={}, header=header)
        said = run("publish-copy", mail, tmp_path / "a.db", "--classifier", "paid").stdout
        assert "  but no stored answer of paid@1, whose model is at a service" in said
        with conn:
            keep_answers(conn, paid.id, {input_key("noise"): CachedAnswer(("a",), "exact", None)})
    told = run_json("publish-copy", mail, tmp_path / "b.db")
    assert told["stored"] == {"paid@1": 1}
    said = run("publish-copy", mail, tmp_path / "c.db").stdout
    assert "  1 stored answer of paid@1, and it gives no other ones\n" in said


def test_rows_that_name_the_service_of_a_model_are_told(mail: Path, tmp_path: Path):
    with closing(connect(mail)) as conn, conn:
        add(conn, "paid", trainer="openai", parts={}, header={"model": "m", "host": "h.example:81"})
        conn.execute("alter table t add column paid_reason text")
        said = "h.example:81 answered 400: no such text"
        conn.execute("update t set paid_reason = ? where id in (3, 5)", [said])
    told = run("publish-copy", mail, tmp_path / "a.db").stderr
    assert "sampled rows of t have the host of a model's service, such as row 3, 5" in told
    (found,) = [f for f in run_json("publish-copy", mail, tmp_path / "b.db")["private"]
                if f["code"] == "service-host"]  # fmt: skip
    assert (found["table"], found["rows"]) == ("t", 2)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that refuses even root")
def test_a_folder_that_cannot_be_written_is_named(mail: Path):
    """And not the file that was to be made there first."""
    said = run("publish-copy", mail, "/proc/a.db", code=1).stderr
    assert said.startswith("Error: Nothing can be written into the folder /proc: ")
    assert said.count("\n") == 1


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path):
    (tmp_path / "a.db").write_text("no database at all, but a text of some length " * 30)
    assert "as a SQLite database" in run("publish-copy", tmp_path / "a.db", "b.db", code=1).stderr
    assert "No database file" in run("publish-copy", tmp_path / "c.db", "b.db", code=1).stderr


def test_it_replaces_a_file_when_it_is_told_to(mail: Path, tmp_path: Path):
    out = tmp_path / "out.db"
    out.touch()
    run("publish-copy", mail, out, "--force")
    with closing(sqlite3.connect(out)) as conn:
        assert conn.execute("select count(*) from t").fetchone() == (8,)


@pytest.mark.parametrize(("host", "path"), [("cloudrun", "data.db"), ("heroku", ODD)])
def test_the_commands_have_the_options_that_datasette_knows(host: str, path: str):
    words = shlex.split(publish_commands(path, ["a b"])[host])
    assert words[:4] == ["datasette", "publish", host, f"./{path}" if path == ODD else path]
    known = CliRunner().invoke(datasette, ["publish", host, "--help"]).output
    assert [word for word in words[4:] if word.startswith("--") and word not in known] == []


@pytest.mark.parametrize(
    "name", ["a-1.db", "öff.db", "my mails.db", "it's.db", "a;b.db", "a&b.db", "(1).db", ODD],
)  # fmt: skip
def test_only_hosts_whose_image_can_be_built_are_named(name: str):
    """By the Dockerfile that Datasette writes for them."""
    given = inspect.signature(make_dockerfile).parameters
    said = make_dockerfile(**{**dict.fromkeys(given), "files": [name], "install": [], "static": []})
    (line,) = (line for line in said.splitlines() if line.startswith("RUN datasette inspect "))
    words = line.removeprefix("RUN datasette inspect ").removesuffix(
        " --inspect-file inspect-data.json"
    )
    read = subprocess.run(["sh", "-c", f"printf %s/ {words}"], capture_output=True, text=True)
    built = read.stdout == f"{name}/" and not name.startswith("-")
    commands = publish_commands(f"/some folder/{name}", ["p"])
    assert {"cloudrun", "fly"} & set(commands) == ({"cloudrun", "fly"} if built else set())
    assert {"heroku", "vercel", "serve"} <= set(commands)
    fewer = why_fewer(name)
    assert (fewer is None) == built
    if fewer is not None:
        assert name in fewer
        assert "cloudrun" in publish_commands(fewer.split()[-1].rstrip("."), ["p"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/My Data_2.db", "my-data-2"), ("2026.db", "data-2026"), ("Öfflés.db", "offles"),
        ("数.db", "data"),
        ("x" * 80 + ".db", "x" * 30),
    ],
)  # fmt: skip
def test_the_name_of_a_service_is_one_that_all_hosts_take(path: str, name: str):
    assert service_name(path) == name
