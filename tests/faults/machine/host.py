"""One host of the state machine: a real supervisor's parts, and its worker processes."""

from contextlib import suppress
from enum import Enum
from typing import Any

from tests.faults.machine.process import Process
from tomqueue.daemon.deaths import Cause, Death
from tomqueue.daemon.deferred import Deferred
from tomqueue.daemon.heartbeat import Heartbeat
from tomqueue.daemon.leadership import Leadership
from tomqueue.daemon.registry import Birth, Registry
from tomqueue.daemon.sweep import Sweep
from tomqueue.errors import StoreError
from tomqueue.store.leases import Leases
from tomqueue.worker.board import Board
from tomqueue.worker.tools import Tools

__all__ = ["Host", "Power"]


class Power(Enum):
    """What a host does."""

    RUNS = "runs"
    FROZEN = "frozen"
    """Nothing moves, and it does not know."""
    LOST = "lost"


class Host:
    """Heartbeat, registry, sweep and deferred process of one supervisor. Their threads are never started."""

    def __init__(self, number: int, tools: Tools) -> None:
        self.number = number
        self.power = Power.RUNS
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        self._tools = tools
        leases = Leases(tools.store)
        settings = tools.settings
        common: dict[str, Any] = {"report": self._raise}
        self.heartbeat = Heartbeat(leases, number, self.boards, lambda: settings, timed=True, **common)
        self.registry = Registry(tools.store, lambda: settings, self._living, tools.logger, timed=True, **common)
        self.sweep = Sweep(
            leases, tools.logger, lambda: settings, connected_for=self.heartbeat.connected_for, boards=self.boards,
            locks=None, **common,
        )  # fmt: skip
        leadership = Leadership(leases, heartbeat=settings.heartbeat, lease=settings.lease)
        self.deferred = Deferred(tools.store, tools.publisher, leadership, **common)

    @property
    def runs(self) -> bool:
        """Whether it is neither frozen nor lost."""
        return self.power is Power.RUNS

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self.power is Power.FROZEN

    def start(self, ident: int, *, knows: Tools | None = None, slots: int = 1) -> Process:
        """Start a worker process; it takes no job before its lease is written."""
        process = Process(ident, knows or self._tools, self.number, slots)
        self.processes.append(process)
        self.registry.born(Birth(process.row, process.board))
        return process

    def living(self) -> list[Process]:
        """Return the processes that have not ended."""
        return [process for process in self.processes if not process.dead]

    def boards(self) -> dict[int, Board]:
        """Return the boards of the living processes."""
        return {process.id: process.board for process in self.living()}

    def _living(self) -> list[Board]:
        return [one.board for one in self.living() if one.board.ready and not one.board.drain_by]

    # What its threads do ------------------------------------------------------------------------------

    def beat(self) -> None:
        """Renew the leases."""
        self.heartbeat._beat()

    def errands(self) -> None:
        """Notice deaths, write leases, bury the dead, hand over."""
        for process in self.processes:
            if process.dead:
                self._notice(process)
                self.dead.append(process)
        self.processes = self.living()
        with suppress(StoreError):
            self.registry._work()
        for process in self.processes:
            process.begin()

    def look(self) -> None:
        """Let the sweep look."""
        self.sweep.look()

    def announce(self) -> None:
        """Let the deferred process do what is due."""
        try:
            self.deferred._turn()
        except StoreError:
            self.deferred._forget()

    def keep(self) -> None:
        """Let every process keep house."""
        for process in self.living():
            process.keep()

    # What happens to it -------------------------------------------------------------------------------

    def lose(self) -> None:
        """Lose it with all that runs there; the broker notices."""
        self.power = Power.LOST
        for process in self.living():
            process.die()

    def freeze(self) -> None:
        """Stop it between two steps; its connections to the broker are lost meanwhile."""
        self.power = Power.FROZEN
        for process in self.living():
            process.consumer.lose_channel()

    def thaw(self) -> None:
        """Let it go on as if nothing had happened."""
        self.power = Power.RUNS

    def bury(self) -> None:
        """Give the memory of its processes back at the end of the test."""
        for process in [*self.processes, *self.dead]:
            process.bury()

    def _notice(self, process: Process) -> None:
        """Read what a process that ended left on its board, as the supervisor does at SIGCHLD."""
        board = process.board
        cause = Cause.CRASHED if process.was_killed else Cause.TOLD
        reason = "was killed by SIGKILL"
        death = Death(cause=cause, reason=reason, running=board.running(), claims=board.claims())
        self.registry.died(process.id, process.row.name, death)

    def _raise(self, error: BaseException) -> None:
        raise error
