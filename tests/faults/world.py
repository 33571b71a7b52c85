"""A small world to break: one database, a broker or none, supervisors, producers; and the ledger of what happened."""

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Self

import msgspec
from sqlalchemy import text

from tests.acceptance.site import Installed, Running, environment_of, wait_until
from tests.faults.cpu import CpuUse
from tests.faults.ledger import EFFECTS, LEDGER, Ledger, What, is_long
from tests.faults.load import Load
from tests.faults.wired import WiredBroker
from tests.processes import freeze
from tomqueue import State, TomQueue
from tomqueue.crash_points import VARIABLE
from tomqueue.job import Job
from tomqueue.jobs import Jobs
from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.store.leases import DEAD, Leases
from tomqueue.store.migrate import migrate

__all__ = ["DEFAULT_TIMES", "SHORT_TIMES", "Crash", "Setup", "World", "stored_key"]

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
"""Seconds until everything must have run; a run in which nothing is lost is done long before."""
MORE = 50
"""Jobs that are enqueued after a fault: the system goes on."""
LONG_ENOUGH = 0.05
LOOK_EVERY = 0.1
SHORT_TIMES: Mapping[str, float] = {"heartbeat": 0.5, "lease": 3, "grace": 5}
DEFAULT_TIMES: Mapping[str, float] = {}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which servers a world is on."""

    database: str
    """``sqlite``, ``postgres`` or ``mariadb``."""
    broker: bool

    def __str__(self) -> str:
        return f"{self.database}{'+rabbitmq' if self.broker else ''}"


@dataclass(frozen=True, kw_only=True)
class Crash:
    """The process that first reaches a point so many times dies there; or what else ``act`` says."""

    point: str
    times: int = 1
    act: str = "kill"
    """``freeze`` stops it, ``drain`` tells its supervisor to end."""


class World:
    """One run's servers and processes. Leaving the block ends every process."""

    def __init__(
        self,
        folder: Path,
        setup: Setup,
        addresses: tuple[str, str | None],
        *,
        times: Mapping[str, float],
        seed: int,
        database: Any = None,
    ) -> None:
        database_url, broker_url = addresses
        self.setup = setup
        self.database: Any = database
        self.forgotten: tuple[float, float] | None = None
        """From when until when the database forgot what was done."""
        self.cpu: float | None = None
        """Share of a core that was used while something was away."""
        self.random = Random(seed)
        self.has_time = times is not SHORT_TIMES
        """Whether a large backlog may be made up."""
        self.lease = times.get("lease", Settings().lease)
        self.prefix = f"faults-{secrets.token_hex(6)}"
        self.ledger = Ledger(folder / "ledger")
        self.wired: WiredBroker | None = None
        """The broker of a scenario that asks for one behind a wire."""
        self._folder = folder
        self._producers: list[Running] = []
        self._supervisors: list[Running] = []
        self._stack = ExitStack()
        broker = {} if broker_url is None else {"broker_url": broker_url, "prefix": self.prefix}
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "TOMQUEUE_APP": "tests.faults.application:tq",
            LEDGER: str(self.ledger.path), "TOMQUEUE_DATABASE_URL": database_url,
            **environment_of({**times, **broker}),
        }  # fmt: skip
        self._installed = Installed(folder, environment)
        self._tq = TomQueue(database_url)

    def __enter__(self) -> Self:
        self._stack.__enter__()
        self._stack.callback(self._tq.close)
        self._stack.callback(self.ledger.close)
        bare = self._tq.bare_store()
        migrate(bare.engine, bare.tables)
        with bare.engine.execution_options(tomqueue_write=True).begin() as connection:
            connection.execute(text(f"CREATE TABLE {EFFECTS} (job_key VARCHAR(64))"))
        bare.close()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: PYI036 - passed on as it is
        self._stack.__exit__(*error)

    def set(self, **more: str) -> None:
        """Let processes that start from now on find something in their environment."""
        self._installed.environment.update(more)

    # Processes ----------------------------------------------------------------------------------------

    def supervisor(self, *, processes: int = 2, crash: Crash | None = None, **more: str) -> Running:
        """Start the installed command with workers (and, with a broker, a deferred process)."""
        return self._launch(self._installed.command("run", "-p", str(processes)), self._supervisors, crash, more)

    def producer(
        self, load: Load, crash: Crash | None = None, *, module: str = "tests.faults.producer", **more: str
    ) -> Running:
        """Start a process that enqueues."""
        command = [sys.executable, "-m", module, msgspec.json.encode(load).decode()]
        return self._launch(command, self._producers, crash, more)

    def load(self, **options: Any) -> Load:
        """Make up a load with a seed and a name of its own; it goes on until ``stop_producers``."""
        number = len(self._producers)
        return Load(name=f"p{number}", seed=self.random.randrange(2**32), **options)

    def wait_for_jobs(self, more: int) -> None:
        """Wait until so many more jobs are committed."""
        enough = self.ledger.count(What.COMMITTED) + more
        wait_until(lambda: self.ledger.count(What.COMMITTED) >= enough, f"{more} more jobs", PATIENCE)

    def stop_producers(self, more: int = MORE) -> None:
        """Let so many more jobs be committed, then stop those that enqueue."""
        self.wait_for_jobs(more)
        for producer in self._producers:
            if producer.process.poll() is None:
                producer.send(signal.SIGTERM)

    def _launch(
        self, command: list[str], among: list[Running], crash: Crash | None, more: Mapping[str, str]
    ) -> Running:
        plan = {} if crash is None else {VARIABLE: f"{crash.point}:{crash.times}!{crash.act}@{self._mark(crash)}"}
        running = self._stack.enter_context(self._installed.launched(command, **plan, **more))
        among.append(running)
        return running

    # Faults -------------------------------------------------------------------------------------------

    def crashed(self, crash: Crash) -> int:
        """Wait until somebody died there; note the fault at that moment, and return who it was."""
        mark = self._mark(crash)
        wait_until(lambda: mark.exists() and mark.read_text().endswith("\n"), f"a crash at {crash}", PATIENCE)
        moment, pid = mark.read_text().split()
        self.ledger.write(What.FAULT, crash.point, time=float(moment))
        return int(pid)

    def kill(self, *pids: int, what: str) -> None:
        """Kill processes at one moment, as far as that can be done: none of them can react to another's death."""
        for pid in pids:
            freeze(pid)
        self.ledger.write(What.FAULT, what.replace(" ", "-"))
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)

    def long_runner(self, among: Callable[[], Sequence[int]] | None = None) -> int:
        """Wait until a process (one of ``among``) has run a long job for a moment, and return it."""
        found: list[int] = []

        def look() -> bool:
            now = boot_time()
            runs = {event.pid: event for event in self.ledger.read() if event.what in {What.STARTED, What.FINISHED}}
            found[:] = [
                pid
                for pid, event in runs.items()
                if event.what is What.STARTED
                and now - event.time > LONG_ENOUGH
                and is_long(event.key)
                and (not among or pid in among())
            ]
            return bool(found)

        wait_until(look, "a job that runs for a while", PATIENCE)
        return found[0]

    def away(self, seconds: float) -> None:
        """Let time pass in which something is away, and measure what the supervisors and their children use."""
        used, until = CpuUse(), boot_time() + seconds
        while boot_time() < until:
            alive = [one for one in self._supervisors if one.process.poll() is None]
            used.look([pid for one in alive for pid in (one.process.pid, *one.children())])
            time.sleep(LOOK_EVERY)
        self.cpu = max(self.cpu or 0.0, used.share)

    def all_children(self) -> list[list[int]]:
        """Return the children of each supervisor that lives."""
        return [one.children() for one in self._supervisors if one.process.poll() is None]

    @property
    def logs(self) -> str:
        """What all supervisors and their children have written."""
        return "".join(supervisor.log for supervisor in self._supervisors)

    @property
    def log_lines(self) -> int:
        """How many lines that is."""
        return self.logs.count("\n")

    def has_lease(self, pid: int) -> bool:
        """Say whether a process is in the table of leases, and not as a dead one."""
        workers = Leases(self._tq.tools().store).all()
        return any(worker.name.endswith(f"pid:{pid}") and worker.kind != DEAD for worker in workers)

    def execute(self, statement: str) -> None:
        """Execute a statement on the database, as a person or a migration does."""
        with self._tq.tools().store.writing() as connection:
            connection.execute(text(statement))

    @property
    def jobs(self) -> Jobs:
        """The jobs, as a person sees and changes them."""
        return self._tq.jobs

    def count(self, state: State | None = None, name: str | None = None) -> int:
        """Return how many jobs there are (in a state, of a name)."""
        return self._tq.jobs.count(state=state, name=name)

    # The end ------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let all be done, then end the supervisors that live."""
        self.finish_jobs()
        self.drain()

    def finish_jobs(self, *, may_fail: bool = False) -> None:
        """Wait until the producers are through and no job is left, but for failed ones if there may be any."""
        self._end_producers()
        self._wait_until_done(State.FAILED if may_fail else None)

    def keep_cancelled(self) -> None:
        """Let all be done but what a person cancelled; write down that it is there as that, and delete it."""
        self.finish_jobs(may_fail=True)
        for job in self.jobs.list(state=State.FAILED, limit=None):
            if job.cancelled_at is not None and job.last_error == "cancelled":
                self.ledger.write(What.KEPT, stored_key(job))
        self.jobs.where(state=State.FAILED).delete()

    def _end_producers(self) -> None:
        self.stop_producers(0)
        for producer in self._producers:
            producer.process.wait(PATIENCE)

    def _wait_until_done(self, but: State | None) -> None:
        try:
            wait_until(lambda: self.count() == (0 if but is None else self.count(but)), "no jobs left", PATIENCE)
        except AssertionError:
            print(*self._left(), sep="\n")
            raise

    def drain(self) -> None:
        """End all supervisors that live, in order."""
        alive = [one for one in self._supervisors if one.process.poll() is None]
        for supervisor in alive:
            supervisor.send(signal.SIGTERM)
        for supervisor in alive:
            assert supervisor.wait() == 0, supervisor.log

    def effects(self) -> list[str]:
        """Return the keys that atomic jobs left in the database."""
        with self._tq.tools().store.reading() as connection:
            return list(connection.execute(text(f"SELECT job_key FROM {EFFECTS}")).scalars())

    def _left(self) -> list[str]:
        return [f"job {job.id} {job.state} {job.arguments} {job.last_error}" for job in self._tq.jobs.list(limit=10)]

    def _mark(self, crash: Crash) -> Path:
        return self._folder / f"crashed-{crash.point}-{crash.times}"


def stored_key(job: Job) -> str:
    """Return the key of a job, from its row: where no job is declared arguments are not shown."""
    key: str = msgspec.json.decode(job.payload)["key"]
    return key
