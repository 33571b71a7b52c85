"""The state machine's world: one application on a real SQLite file, its hosts, its broker and its clock."""

import logging
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from greenlet import getcurrent
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from tests.faults.machine.broker import HeldBroker
from tests.faults.machine.clock import SimulatedTime
from tests.faults.machine.host import Host, Power
from tests.faults.machine.ledger import Ledger, number_of
from tests.faults.machine.process import Command, Process
from tests.faults.machine.store import open_copy
from tomqueue import JobContext, TomQueue
from tomqueue.store.base import Delete, Hold, Release
from tomqueue.store.leases import Fate, Freed, Leases
from tomqueue.worker.tools import Tools

__all__ = ["QUEUES", "World"]

QUEUES = ("default", "mailers")
HEARTBEAT = 5.0
ROUNDS = 100
"""Of ordinary work after which everything must have ended; one is a heartbeat long, and a park five minutes."""


class World:
    """Everything that can happen, as methods. Call ``close`` at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.time = SimulatedTime()
        self._stack.enter_context(self.time.ruling())
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="tomqueue-machine-")))
        self.store = open_copy(folder)
        self._stack.callback(self.store.close)
        self.broker = HeldBroker()
        self.ledger = Ledger(self.store)
        self.app = self._application("work", "atomic", "newcomer")
        self.old = self._application("work", "atomic")
        self.hosts: list[Host] = []
        self._numbers = 0
        self._idents = 1000

    def _application(self, *names: str) -> TomQueue:
        """Return one version of the application: what it declares is what its workers can read."""
        tq = TomQueue(self.store.settings.database_url)
        tq.logger = logging.getLogger("tomqueue.machine")
        tq.logger.setLevel(logging.CRITICAL + 1)  # its warnings are what is being provoked
        tq._parts._store = self.store
        tq._parts._transport = self.broker
        tq._parts._publisher = self.broker.publisher()
        for name in names:
            tq.job(name=name, max_attempts=4, backoff=1.0, atomic=name == "atomic")(
                atomic if name == "atomic" else work
            )
        return tq

    def close(self) -> None:
        """End all of it."""
        for host in self.hosts:
            host.bury()
        self._stack.close()

    # Enqueueing ---------------------------------------------------------------------------------------

    def enqueue(self, name: str, *, commit: bool = True, **options: Any) -> None:
        """Enqueue a job in a transaction of ours, and commit it or roll it back."""
        self._numbers += 1
        with Session(self.store.engine) as session:
            definition: Any = self.app.registry.find(name)
            definition.using(session=session, **options).enqueue(self._numbers)
            if commit:
                session.commit()
                self.ledger.committed[self._numbers] = name == "atomic"

    # Time and hosts -----------------------------------------------------------------------------------

    def start_host(self) -> Host:
        """Start a supervisor."""
        host = Host(len(self.hosts) + 1, self.app.tools())
        self.hosts.append(host)
        return host

    def start_process(self, host: Host, *, slots: int = 1, old: bool = False) -> Process:
        """Start a worker process on a host."""
        self._idents += 1
        tools: Tools = self.app.tools()
        knows = replace(tools, registry=self.old.registry) if old else tools
        process = host.start(self._idents, knows=knows, slots=slots)
        process.is_old = old
        host.errands()
        return process

    def running_hosts(self) -> list[Host]:
        """Return the hosts that neither stand still nor are lost."""
        return [host for host in self.hosts if host.runs]

    def processes(self) -> list[Process]:
        """Return the processes that can move."""
        return [process for host in self.running_hosts() for process in host.living()]

    def pass_time(self, seconds: float) -> None:
        """Let time pass; heartbeats, which no job and no database keeps waiting, go on meanwhile."""
        while seconds > 0:
            piece = min(seconds, HEARTBEAT)
            self.time.advance(piece)
            for host in self.running_hosts():
                host.beat()
            seconds -= piece

    # Work ---------------------------------------------------------------------------------------------

    def turn(self, process: Process) -> bool:
        """Let a process take its next job; check that it may. Say whether one began."""
        run = process.turn()
        if run is None:
            return False
        self.ledger.check_start(process, run, [one for one in self._trusting() if one is not process])
        return True

    def check(self) -> None:
        """Check what must hold at every step."""
        self.ledger.check(self._trusting())

    def _trusting(self) -> list[Process]:
        """Return the processes that live and may touch their rows, also those that stand still."""
        living = [one for host in self.hosts if host.power is not Power.LOST for one in host.living()]
        return [one for one in living if one.board.has_lease()]

    def command(self, process: Process, index: int, command: Command) -> None:
        """Let a running job end, or not, as the command says."""
        if command is Command.SUCCEED:
            self.ledger.take_success(process.running_in(index))
        process.command(index, command)

    def wake(self, host: Host) -> None:
        """Let a host that stood still too long do what it was about to do, before its guards notice."""
        for process in host.living():
            for index in process.busy_slots():
                self.command(process, index, Command.SUCCEED)
            self.turn(process)
            process.keep()

    def turn_broker(self) -> None:
        """Let the broker go away, or come back."""
        self.broker.away = not self.broker.away
        self.ledger.away_since = self.store.now()

    # What must change nothing -------------------------------------------------------------------------

    def defy(self, job: int, token: int, worker: int) -> None:
        """Let an owner that lost its claim do whatever it can; check that nothing changes."""
        before = self.ledger.rows()
        store = self.store
        assert store.finish([Delete(job, token)]) == [Hold.LOST]
        assert store.finish([Release(id=job, token=token, attempts=0, failed=True)]) == [Hold.LOST]
        assert store.undo([job], token) == 0
        with store.writing() as connection:
            assert not store.finish_in(connection, Delete(job, token))
        if all(row.locked_by != worker for row in before if row.id == job):
            Leases(store).free(worker, [Freed(id=job, fate=Fate.CRASHED, error="of the dead")], 3)
        assert self.ledger.rows() == before, "a claim that was lost changed a row"

    # What people do -----------------------------------------------------------------------------------

    def change(self, job: int, **values: Any) -> None:
        """Change a row that nobody holds, by plain SQL."""
        jobs = self.store.tables.jobs
        unlocked = (jobs.c.id == job) & jobs.c.locked_by.is_(None)
        with self.store.writing() as connection:
            connection.execute(update(jobs).where(unlocked).values(updated_at=self.store.now(), **values))

    def put_off(self, job: int, seconds: float) -> None:
        """Give a job another time, by plain SQL."""
        self.change(job, run_at=self.store.now() + timedelta(seconds=seconds))

    def act(self, job: int, what: str) -> None:
        """Retry, cancel, publish or delete a job, as `tq.jobs` and the command do."""
        row = self.ledger.row(job)
        getattr(self.app.jobs, what)(job)
        if what == "delete":
            self.ledger.deleted.add(number_of(row))

    def republish(self) -> None:
        """Publish every ready job anew, if there is a broker."""
        if self.broker.away:
            return
        self.app._parts.republisher.republish(rate=1e9)

    def ago(self, seconds: float) -> datetime:
        """Return a time of the database's clock."""
        return self.store.now() - timedelta(seconds=seconds)

    # The end ------------------------------------------------------------------------------------------

    def calm(self) -> int:
        """Let the faults stop and ordinary work go on; return after how many rounds every job had ended."""
        self.broker.away = False
        self.store.breaks = None
        self.broker.deliver()
        for host in self.hosts:
            if host.power is Power.FROZEN:
                host.thaw()
        for process in self.processes():
            if process.is_old:  # the deploy goes on to its end
                process.drain()
        self.start_process(self.start_host())
        for done in range(ROUNDS):
            self.check()
            if not self.ledger.unfinished():
                return done
            self.round()
        raise AssertionError(f"not ended after {ROUNDS} rounds: {self.ledger.rows()}")

    def round(self) -> None:
        """Do what an undisturbed system does in the time of a heartbeat."""
        self.pass_time(HEARTBEAT)
        for host in self.running_hosts():
            host.keep()
            host.errands()
            host.look()
            host.announce()
        self.broker.deliver()
        for process in self.processes():
            self._work_off(process)

    def _work_off(self, process: Process) -> None:
        for index in process.busy_slots():
            self.command(process, index, Command.SUCCEED)
        while not process.dead and self.turn(process):
            self.command(process, process.busy_slots()[0], Command.SUCCEED)
        process.keep()
        if process.is_draining:
            process.close()


def work(ctx: JobContext, number: int) -> None:
    """Stand still until told how to go on."""
    stand_still(ctx, number)


def atomic(ctx: JobContext, number: int) -> None:
    """Stand still; then write the effect that must be there once."""
    stand_still(ctx, number)
    ctx.connection.execute(text("INSERT INTO effects (number) VALUES (:number)"), {"number": number})


def stand_still(ctx: JobContext, number: int) -> None:
    """Switch to the test, with what runs here; go on as its command says."""
    parent = getcurrent().parent
    assert parent is not None
    command = parent.switch((ctx.id, number))
    command.obey()
