"""The command on an application module of the test's own, in the test's own process."""

import importlib
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from click.testing import CliRunner

from tomqueue import TomQueue
from tomqueue.cli.main import command
from tomqueue.priority import PRIORITIES
from tomqueue.store.leases import Leases, WorkerRow

MODULE = """
from tomqueue import TomQueue

tq = TomQueue("sqlite:///{folder}/jobs.db", sqlite_synchronous="NORMAL")

@tq.job(name="send", queue="mailers", priority="high", max_attempts=1)
def send(user_id: int) -> None:
    raise ValueError(f"no user {{user_id}}")

@tq.job(name="resize")
def resize(path: str) -> None:
    pass
"""


class CommandLine:
    """Runs the command and keeps what it wrote."""

    def __init__(self, folder: Path, module: str) -> None:
        self.folder = folder
        self.app = f"{module}:tq"
        self.stderr = ""

    def __call__(self, *arguments: str, code: int = 0, answer: str | None = None) -> str:
        """Run with the application; return standard output."""
        return self.bare("--app", self.app, *arguments, code=code, answer=answer)

    def bare(self, *arguments: str, code: int = 0, answer: str | None = None, **environment: str) -> str:
        """Run without the application."""
        result = CliRunner().invoke(command, arguments, input=answer, env=environment, prog_name="tomqueue")
        self.stderr = result.stderr
        assert result.exit_code == code, f"{result.output}\n{result.exc_info}"
        return result.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run with --json; return what it means."""
        return msgspec.json.decode(self(*arguments, "--json", code=code))


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """Give the command, in a folder with an application."""
    name = f"shop_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(folder=tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for variable in ("TOMQUEUE_APP", "TOMQUEUE_DATABASE_URL", "TOMQUEUE_LOG_LEVEL"):
        monkeypatch.delenv(variable, raising=False)
    yield CommandLine(tmp_path, name)
    sys.modules.pop(name, None)


@pytest.fixture
def tq(cli: CommandLine) -> Iterator[TomQueue]:
    """Give the application that the command works on, with its tables."""
    app: TomQueue = importlib.import_module(cli.app.removesuffix(":tq")).tq
    app.tools()
    yield app
    app.close()


def lease_of(
    tq: TomQueue, worker: int = 1, queues: str = "*", seconds: float = 60.0, ranks: range = PRIORITIES
) -> None:
    """Write the lease of a worker that ends in so many seconds."""
    now = tq.tools().store.now()
    Leases(tq.tools().store).register(
        WorkerRow(
            id=worker, name=f"host:web pid:{worker}", supervisor=1, kind="worker", queues=queues, slots=1,
            first_rank=ranks.start, last_rank=ranks[-1],
            started_at=now - timedelta(minutes=3), expires_at=now + timedelta(seconds=seconds),
        )
    )  # fmt: skip


@pytest.fixture
def lease(tq: TomQueue) -> Any:
    """Give a function that writes the lease of a worker."""
    return lambda *arguments, **options: lease_of(tq, *arguments, **options)
