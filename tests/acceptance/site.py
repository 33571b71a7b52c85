"""A user's project in a temporary folder: an application module, the installed command, and what its jobs wrote."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tomqueue import TomQueue

PATIENCE = 90.0
"""Seconds until a test gives up on an event; a passing test never waits so long."""

APP = """
import os, socket, sys, time
from pathlib import Path
from tomqueue import JobContext, JobInterrupted, TomQueue

tq = TomQueue()
OUT = Path(os.environ["SITE_OUT"])

def write(line):
    with OUT.open("a") as file:
        file.write(f"{line}\\n")

@tq.job(name="note")
def note(ctx: JobContext, text: str):
    write(f"{text} attempt={ctx.attempt} pid={os.getpid()}")

@tq.job(name="slow")
def slow(ctx: JobContext, text: str, seconds: float):
    write(f"begin {text} attempt={ctx.attempt} pid={os.getpid()}")
    try:
        time.sleep(seconds)
    except JobInterrupted:
        write(f"interrupted {text}")
        raise
    write(f"end {text} attempt={ctx.attempt} pid={os.getpid()}")

@tq.job(name="abort")
def abort():
    os.abort()

@tq.job(name="oversleep", max_run_time=0.5)
def oversleep():
    write("oversleep")
    time.sleep(3600)

@tq.job(name="deaf", max_run_time=0.5)
def deaf():
    write("deaf")
    left, right = socket.socketpair()
    left.recv(1)

@tq.job(name="spin", max_run_time=0.5, max_attempts=1)
def spin():
    write("spin")
    import re
    re.match("(a+)+b", "a" * 64)

@tq.job(name="leave_early")
def leave_early():
    write("leaving")
    os._exit(0)

@tq.job(name="killer")
def killer():
    time.sleep(0.3)
    os.abort()

@tq.job(name="grandchild")
def grandchild():
    import multiprocessing
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=False).start()
    write(f"forked pid={os.getpid()}")
    time.sleep(60)

@tq.job(name="lingering")
def lingering(text: str):
    import threading
    threading.Thread(target=time.sleep, args=(3600,)).start()
    write(f"lingering {text} pid={os.getpid()}")

@tq.job(name="hog", atomic=True)
def hog(ctx: JobContext, seconds: float):
    ctx.connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS hogged (attempt INTEGER)")
    write(f"hog attempt={ctx.attempt}")
    time.sleep(seconds)

@tq.job(name="fails", max_attempts=1)
def fails():
    raise ValueError("as it must")

@tq.job(name="grow")
def grow(megabytes: int):
    tq.ballast = bytearray(os.urandom(1024) * 1024 * megabytes)
    write(f"grow pid={os.getpid()}")
"""


class Installed:
    """The installed command, in a folder and an environment."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("tomqueue")), *words]

    def run(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end."""
        return subprocess.run(
            self.command(*words), cwd=self.folder, env=self.environment, text=True, capture_output=True,
            timeout=PATIENCE * 2, check=check,
        )  # fmt: skip

    @contextmanager
    def started(self, *words: str, **more: str) -> Iterator["Running"]:
        """Start the command with ``more`` in its environment; end it, whatever happens, when the block is left."""
        with self.launched(self.command(*words), **more) as running:
            yield running

    @contextmanager
    def launched(self, command: list[str], **more: str) -> Iterator["Running"]:
        """Start any program so."""
        log = self.folder / f"log-{time.monotonic_ns()}.txt"
        with log.open("w") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env={**self.environment, **more}, stdout=file, stderr=subprocess.STDOUT
            )
        try:
            yield Running(process, log)
        except BaseException:
            print(log.read_text())  # pytest shows it with the failure
            raise
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


class Site(Installed):
    """The folder, the environment and the command of one user."""

    def __init__(self, folder: Path, database_url: str, *, more: str = "", **settings: Any) -> None:
        self.out = folder / "out.txt"
        self.out.touch()
        self.module = folder / "site_app.py"
        self.module.write_text(APP + more)
        environment = {
            **os.environ,
            "TOMQUEUE_APP": "site_app:tq",
            "TOMQUEUE_DATABASE_URL": database_url,
            "SITE_OUT": str(self.out),
            **environment_of(settings),
        }
        super().__init__(folder, environment)
        broker = {name: settings[name] for name in ("broker_url", "prefix", "queue_type") if name in settings}
        self.tq = TomQueue(database_url, **broker)
        self.tq.job(name="note")(note)
        self.tq.job(name="slow")(slow)
        for name in ("abort", "oversleep", "deaf", "spin", "fails", "leave_early", "killer", "grandchild"):
            self.tq.job(name=name)(nothing(name))
        self.tq.job(name="grow")(grow)
        self.tq.job(name="hog")(hog)
        self.tq.job(name="lingering")(lingering)

    def enqueue(self, name: str, *arguments: Any, **overrides: Any) -> int:
        """Enqueue a job of the application by its name; return its id."""
        definition: Any = self.tq.registry.find(name)
        return int(definition.using(**overrides).enqueue(*arguments).id)

    def lines(self, start: str = "") -> list[str]:
        """Return what jobs wrote, in order."""
        return [line for line in self.out.read_text().splitlines() if line.startswith(start)]

    def wait_for_lines(self, number: int, start: str = "") -> list[str]:
        """Wait until jobs wrote so many lines that begin with ``start``."""
        wait_until(lambda: len(self.lines(start)) >= number, f"{number} lines that begin with {start!r}")
        return self.lines(start)

    def wait_until_empty(self) -> None:
        """Wait until no job is left."""
        wait_until(lambda: self.tq.jobs.count() == 0, "no jobs left")


class Running:
    """A command that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(timeout=PATIENCE)

    def children(self) -> list[int]:
        """Return the process ids of the children."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def wait_for_log(self, text: str) -> None:
        self.wait_for_times(1, text)

    def wait_for_times(self, number: int, text: str) -> None:
        """Wait until the log says so at least so many times."""
        wait_until(lambda: self.log.count(text) >= number, f"{text!r} in the log:\n{self.log}")


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until ``condition`` holds; fail with ``what`` was waited for."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.01)


def environment_of(settings: Mapping[str, object]) -> dict[str, str]:
    """Return settings as the environment of a process."""
    return {f"TOMQUEUE_{name.upper()}": str(value) for name, value in settings.items()}


def field_of(line: str, name: str) -> int:
    """Return a number that a job wrote as ``name=number``."""
    return int(line.partition(f"{name}=")[2].split()[0])


def note(text: str) -> None:
    """Stand for the job of this name: only its signature counts here."""


def slow(text: str, seconds: float) -> None:
    """Stand for the job of this name."""


def grow(megabytes: int) -> None:
    """Stand for the job of this name."""


def lingering(text: str) -> None:
    """Stand for the job of this name."""


def hog(seconds: float) -> None:
    """Stand for the job of this name."""


def nothing(name: str) -> Callable[[], None]:
    """Return a stand-in for a job without arguments."""

    def job() -> None: ...

    job.__qualname__ = name
    return job
