"""Shared fixtures."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from openai import OpenAI
    from openai_server import OpenAIServer

# Two tests at a time use all there is; threads of one computation that wait for each other in a
# loop only keep the others waiting. For this process, which has no numpy yet, and those it starts.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

# No test is about time: a machine with much to do must not fail one. Nor does chance: the same code
# gives the same result, and other examples are tried where somebody asks for them.
hypothesis.settings.register_profile(
    "ours",
    deadline=None,
    derandomize=not os.environ.get("FTCLASSIFY_EXPLORE"),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ours")

MEMORY = "/dev/shm"
ENOUGH = 4_000_000_000
"""Bytes: an ordinary run holds less than half of it at a time."""

_VOCABULARIES = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}


@pytest.fixture(scope="session", autouse=True)
def long_time_limit() -> None:
    """A page of Datasette may read for a minute: a machine with much to do must fail no test of
    what is read. The collector of garbage alone takes a second in a process that ran many tests."""
    from datasette.app import DEFAULT_SETTINGS

    DEFAULT_SETTINGS["sql_time_limit_ms"] = 60_000


@pytest.fixture(scope="session")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """OpenAI's vocabularies where tiktoken looks for them, so that counts are the real ones."""
    folder = tmp_path_factory.mktemp("vocabularies")
    # Found and not imported: only the data is of use here.
    spec = find_spec("bpe_openai")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).with_name("data")
    for name, cached in _VOCABULARIES.items():
        packed = (data / f"{name}.tiktoken.gz").read_bytes()
        (folder / cached).write_bytes(gzip.decompress(packed))
    earlier = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    yield folder
    if earlier is None:
        del os.environ["TIKTOKEN_CACHE_DIR"]
    else:
        os.environ["TIKTOKEN_CACHE_DIR"] = earlier


@pytest.fixture(scope="session")
def trained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with three trained classifiers; read it, never write it."""
    from sample_databases import make_trained

    path = tmp_path_factory.mktemp("trained") / "town.db"
    make_trained(path)
    return path


@pytest.fixture
def trained(trained_file: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copy(trained_file, tmp_path / "town.db"))


@pytest.fixture(scope="session")
def sports_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `make_sports`; read it, never write it."""
    path = tmp_path_factory.mktemp("sports") / "sports.db"
    from sports import make_sports

    make_sports(path)
    return path


@pytest.fixture
def sports_db(sports_file: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    copy = tmp_path / "sports.db"
    copy.write_bytes(sports_file.read_bytes())
    return copy


@pytest.fixture
def town(trained: Path) -> Path:
    """Such a copy, without the jobs that trained them."""
    from running_jobs import without_jobs

    return without_jobs(trained)


@pytest.fixture
def path(town: Path) -> Path:
    """What `conn` is connected to. Where tests give a file of another kind, so is `conn`."""
    return town


@pytest.fixture
def conn(path: Path) -> Iterator[sqlite3.Connection]:
    from datasette_ftclassify.core.database import connect

    with closing(connect(path)) as conn:
        yield conn


@pytest.fixture
def db(tmp_path: Path, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new database of messages, for commands whose environment names the server."""
    from service_training import environment, town

    for name, setting in environment(openai_server).items():
        monkeypatch.setenv(name, setting)
    town(tmp_path / "town.db").close()
    return tmp_path / "town.db"


@pytest.fixture
def quick() -> Iterator[None]:
    """See `quick_to_ask`."""
    from service_training import quick_to_ask

    with quick_to_ask():
        yield


@pytest.fixture
def nothing_loaded() -> Iterator[None]:
    """Keeps no sentence encoder in memory, from before nor for later."""
    from datasette_ftclassify.trainers.encoders import known

    known._loaded.clear()
    yield
    known._loaded.clear()


@pytest.fixture(scope="session")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders for ledgers, none of which is there yet: only few tests open theirs."""
    folder = tmp_path_factory.mktemp("ledgers")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def ledger(ledgers: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of the test's own, also for the processes that it starts."""
    path = next(ledgers) / "ledger.db"
    monkeypatch.setenv("FTCLASSIFY_LEDGER", str(path))
    return path


@pytest.fixture
def no_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the world are of no use on loopback, and loading them takes a client 50 ms."""
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    """A server that speaks OpenAI's protocol, learns, and fails when told to."""
    from openai_server import OpenAIServer

    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def tuned() -> Iterator[tuple[OpenAIServer, OpenAI, str]]:
    """Such a server, its client and the name of a model tuned on label codes."""
    from openai_examples import chat_lines, examples, tune
    from openai_server import OpenAIServer

    with OpenAIServer() as server:
        model = tune(server, chat_lines(examples())).fine_tuned_model
        assert model is not None
        yield server, server.client(), model


def _is_roomy() -> bool:
    """Whether the files of tests may be kept in memory, programs among them."""
    try:
        found = os.statvfs(MEMORY)
    except (AttributeError, OSError):
        return False
    return found.f_bavail * found.f_frsize > ENOUGH and not found.f_flag & os.ST_NOEXEC


def pytest_configure(config: pytest.Config) -> None:
    # Nobody needs these files after a power cut, and a disk takes 10 ms to confirm a transaction.
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _is_roomy():
        memory = tempfile.TemporaryDirectory(prefix="ftclassify-tests-", dir=MEMORY)
        config.add_cleanup(memory.cleanup)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = memory.name
    # For fixtures that outlive a test; never the ledger of whoever runs the tests.
    folder = tempfile.TemporaryDirectory(prefix="ftclassify-ledger-")
    config.add_cleanup(folder.cleanup)
    # The workers of pytest-xdist share that of the process that started them.
    if "FTCLASSIFY_COMPILED_TEMPLATES" not in os.environ:
        templates = tempfile.TemporaryDirectory(prefix="ftclassify-templates-")
        config.add_cleanup(templates.cleanup)
        os.environ["FTCLASSIFY_COMPILED_TEMPLATES"] = templates.name
    os.environ["FTCLASSIFY_LEDGER"] = str(Path(folder.name) / "ledger.db")
    # What a shell starts with `&` ignores Ctrl-C, and so would every process that a test sends it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "contract: needs node; see tests/support/judges.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """How many `-n auto` means: two seconds of five are spent waiting for a process, a server or a
    browser, so that one test a core leaves cores idle."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return max(2, (os.cpu_count() or 1) * 3 // 2)
