"""One worker process of the state machine: the real Worker, whose jobs stand still until the test lets them go on.

Each slot runs the real stack in a greenlet: a job that runs switches back to the test and waits there for its
command. So a crash, a freeze and a take-over can fall between any two steps of any two processes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from greenlet import getcurrent, greenlet

from tests.faults.machine.broker import HeldConsumer
from tomqueue.errors import Discard, JobInterrupted, Retry, Snooze, StoreError
from tomqueue.store.leases import WorkerRow
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.board import Board
from tomqueue.worker.options import WorkerOptions
from tomqueue.worker.policies import Policies
from tomqueue.worker.slot import Slot
from tomqueue.worker.tools import Tools
from tomqueue.worker.worker import Worker

__all__ = ["Command", "LeaseLost", "Process", "Run"]

QUICK = 0.001
"""Seconds that a job is said to have taken: so batches grow."""


class LeaseLost(BaseException):
    """Stands for the end of the process: its lease is over."""


class Command(Enum):
    """How a running job is to go on."""

    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "retry"
    SNOOZE = "snooze"
    DISCARD = "discard"
    INTERRUPT = "interrupt"

    def obey(self) -> None:
        """Return, or raise, as a job does."""
        errors: dict[Command, BaseException] = {
            Command.FAIL: ValueError("as it must"),
            Command.RETRY: Retry(delay=0),
            Command.SNOOZE: Snooze(delay=3),
            Command.DISCARD: Discard("of no use"),
            Command.INTERRUPT: JobInterrupted(),
        }
        if self in errors:
            raise errors[self]


@dataclass(frozen=True, slots=True)
class Run:
    """A job that runs: what it says of itself when it begins."""

    job: int
    token: int
    number: int


class StillWorker(Worker):
    """A Worker that does not wait in real time after an error."""

    def _stack(self, policies: Policies) -> Callable[[Attempt], bool]:
        self._halt.wait = lambda *_seconds: False  # type: ignore[method-assign]
        return super()._stack(policies)


class Process:
    """A worker process. ``dead`` says whether it has ended, ``was_killed`` that it was by a crash."""

    def __init__(self, ident: int, tools: Tools, supervisor: int, slots: int) -> None:
        self.id = ident
        self.dead = False
        self.was_killed = False
        self.begun = False
        self.is_old = False
        self.board = Board.create()
        self.board.lease_until = 0.0  # until it is written
        options = WorkerOptions(threads=slots)
        self.worker = StillWorker(tools, self.board, ident, options, die=self._die)
        self.slots = [Slot(index, self.board, lambda _slot, _raised: None) for index in range(slots)]
        self.worker._slots += self.slots
        self.runs: list[tuple[greenlet, Run] | None] = [None] * slots
        self.ghosts: list[greenlet] = []
        now = tools.store.now()
        self.row = WorkerRow(
            id=ident, name=f"w{ident}", supervisor=supervisor, kind="worker", queues="*", slots=slots, started_at=now,
            expires_at=now,
        )  # fmt: skip

    @property
    def consumer(self) -> HeldConsumer:
        """Where its news arrives."""
        consumer = self.worker._consumer
        assert isinstance(consumer, HeldConsumer)
        return consumer

    @property
    def is_draining(self) -> bool:
        """Whether it starts no further job."""
        return self.worker._halt.is_set()

    def running(self) -> list[Run]:
        """Return what runs here."""
        return [run[1] for run in self.runs if run is not None]

    def running_in(self, index: int) -> Run:
        """Return what runs in a busy slot."""
        run = self.runs[index]
        assert run is not None
        return run[1]

    def busy_slots(self) -> list[int]:
        """Return the slots that run something."""
        return [index for index, run in enumerate(self.runs) if run is not None]

    def free_slot(self) -> int | None:
        """Return a slot that runs nothing."""
        return next((index for index, run in enumerate(self.runs) if run is None), None)

    # What it does -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take up work as ``Worker.run`` does, once the lease is written."""
        if not self.begun and self.board.has_lease():
            self.begun = True
            self.worker._queues.refresh()
            self.worker._unpark()
            self.board.ready = True

    def turn(self) -> Run | None:
        """Turn the stack in a free slot; return the job that runs there now."""
        index = self.free_slot()
        if self.dead or not self.board.ready or index is None:
            return None
        return self._go_on(index, greenlet(lambda: self.worker._turn(Attempt(self.slots[index]))))

    def command(self, index: int, command: Command) -> None:
        """Let the job of a slot go on, to its end."""
        run = self.runs[index]
        assert run is not None
        self.runs[index] = None
        self._go_on(index, run[0], command)

    def keep(self) -> None:
        """Do what guard and keeper do beside the jobs."""
        if self.dead or not self.begun:
            return
        try:
            self.worker._housekeeper._watch()
            self.worker._housekeeper._keep()
        except LeaseLost:
            self.die()
        except StoreError:  # reported; it is tried again
            pass

    def let_go(self) -> None:
        """Give back what was claimed ahead."""
        self._safely(self.worker._intake.let_go)

    def drain(self) -> None:
        """Begin to end in order: start nothing more, give back what did not start."""
        self.worker.stop()
        self._safely(self.worker._intake.give_back)

    def close(self) -> bool:
        """End in order, if nothing runs any more: commit what is left, leave the broker. Say whether it has ended."""
        if self.running() or self.dead:
            return False
        self._safely(self.worker._settle)
        if not self.dead:
            self.consumer.close()
            self._safely(self.worker._settle)
        self.dead = True
        return True

    def die(self) -> None:
        """End at once: what was in memory is gone, and the broker has its deliveries back."""
        self.dead = True
        self.consumer.lose_channel()
        self.ghosts += [run[0] for run in self.runs if run is not None]
        self.runs = [None] * len(self.runs)

    def crash(self) -> None:
        """Die as by ``kill -9``."""
        self.was_killed = True
        self.die()

    def bury(self) -> None:
        """Give the memory back at the end of the test."""
        for ghost in self.ghosts + [run[0] for run in self.runs if run is not None]:
            ghost.throw()
        self.board.close()

    # Parts --------------------------------------------------------------------------------------------

    def _safely(self, work: Callable[[], object]) -> None:
        try:
            work()
        except LeaseLost:
            self.die()
        except StoreError:  # it is tried again
            pass

    def _go_on(self, index: int, turn: greenlet, *said: Any) -> Run | None:
        answer = turn.switch(*said)
        if isinstance(answer, tuple):
            held: Any = self.slots[index].job
            run = Run(answer[0], held.token, answer[1])
            self.runs[index] = (turn, run)
            return run
        if isinstance(answer, LeaseLost):
            self.ghosts.append(turn)
            self.die()
        elif answer:
            self.worker._batch.measured(1, QUICK)
        return None

    def _die(self) -> None:
        """Stand still for ever, as a process that has ended does."""
        here = getcurrent()
        while here.parent is not None:
            here.parent.switch(LeaseLost())
        raise LeaseLost
