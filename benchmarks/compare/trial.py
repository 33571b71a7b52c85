"""One contender at work in a fresh place: its producers, its workers, how many jobs are done."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.compare.contender import Command, Contender
from benchmarks.compare.servers import Place

__all__ = ["Failed", "Trial"]

PROGRAM = Path(__file__).parent / "program"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
SETTLE_SECONDS = 2.0
LOOK_SECONDS = 0.001


class Failed(Exception):
    """The contender did not do what it was asked for; what it printed says why."""


@dataclass(frozen=True)
class Trial:
    """A contender in a place."""

    contender: Contender
    programs: Path
    place: Place
    _started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def ask(self, verb: str, *arguments: object) -> dict[str, Any]:
        """Let the contender's program do what a verb says; return what it measured."""
        command = ["python", "-c", "import verbs; verbs.main()", verb, *map(str, arguments)]
        done = subprocess.run(self._resolved(command), capture_output=True, text=True, check=False, **self._around())
        if done.returncode:
            raise Failed(f"{self.contender.name} {verb}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def done(self) -> int:
        """Return how many jobs were run."""
        return self._done.stat().st_size if self._done.exists() else 0

    def starts(self) -> dict[int, float]:
        """Return when each numbered job started."""
        return {int(number): float(moment) for number, moment in self._lines("starts")}

    def moments(self) -> dict[int, tuple[float, float]]:
        """Return for each numbered job before and after which moments it was enqueued, or when it was due."""
        return {int(number): (float(before), float(after)) for number, before, after in self._lines("moments")}

    @contextmanager
    def workers(self, processes: int) -> Iterator[list[int]]:
        """Run so many worker processes; give the processes that were started, whose descendants belong to them."""
        with ExitStack() as stack:
            log = stack.enter_context(self._log.open("ab"))
            stack.callback(lambda: end(self._started))
            for command in self.contender.workers(processes):
                words = self._resolved(command)
                worker = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, **self._around())
                self._started.append(worker)
            yield [worker.pid for worker in self._started]

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for something, as long as jobs go on being done or for so many seconds."""
        seen, deadline = self.done(), time.monotonic() + seconds
        while not condition():
            if self.done() != seen:
                seen, deadline = self.done(), time.monotonic() + seconds
            if time.monotonic() > deadline or any(worker.poll() is not None for worker in self._started):
                log = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
                raise Failed(f"{self.contender.name}: waited for {what}; {seen} jobs done; {log}")
            time.sleep(LOOK_SECONDS)

    def wait_until_ready(self) -> None:
        """Wait until a job was run and the workers are idle again."""
        before = self.done()
        self.ask("enqueue-one-by-one", 1)
        self.wait_until(lambda: self.done() > before, START_SECONDS, "a first job")
        time.sleep(SETTLE_SECONDS)

    @property
    def _done(self) -> Path:
        return self.place.folder / "done"

    @property
    def _log(self) -> Path:
        return self.place.folder / "log"

    def _lines(self, name: str) -> Iterator[list[str]]:
        file = self.place.folder / name
        yield from (line.split() for line in (file.read_text().splitlines() if file.exists() else []))

    def _resolved(self, command: Command) -> list[str]:
        return [str(self.programs / command[0]), *command[1:]]

    def _around(self) -> dict[str, Any]:
        addresses, folder = self.place.addresses, self.place.folder
        own = {name: value.format_map(addresses) for name, value in self.contender.environment.items()}
        files = {f"BENCHMARK_{name.upper()}": str(folder / name) for name in ("done", "starts", "moments")}
        paths = {
            "PYTHONPATH": os.pathsep.join([str(PROGRAM), str(self.contender.folder)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {"cwd": self.contender.folder, "env": {**os.environ, **addresses, **own, **files, **paths}}


def end(workers: list["subprocess.Popen[bytes]"]) -> None:
    """Ask workers to stop; kill their process groups if they do not, or leave something behind."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(max(0.1, deadline - time.monotonic()))
        with suppress(ProcessLookupError, PermissionError):  # nobody left: Linux says one, macOS the other
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
