"""A process that enqueues in every way: one by one, in bulk, in sessions, with rollbacks, delays and priorities.

``python -m tests.faults.producer LOAD`` with a Load as JSON. What it does follows from the load's seed.
"""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from random import Random
from types import FrameType

import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.faults.application import atomic, ledger, plain, tq
from tests.faults.ledger import What, key_of
from tests.faults.load import Load
from tomqueue import Prepared, Priority
from tomqueue.errors import OutcomeUnknown, StoreUnavailable
from tomqueue.service import boot_time

__all__ = ["Producer"]

BULK = 20
LOOK_EVERY = 0.02
AFTER_TROUBLE = 0.1
"""Seconds until the next try when the database is away."""


class Producer:
    """Enqueues a load, and writes down before each transaction what it is about to do, and after it what became."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._random = Random(load.seed)
        self._tried = 0
        self._stopped = False
        self._engine = tq.tools().store.engine.execution_options(tomqueue_write=True)
        self._steps: dict[Callable[[], None], float] = {
            self._alone: 10,
            self._in_session: 3,
            self._rolled_back: 2,
            self._in_bulk: 1,
        }

    def run(self) -> None:
        """Enqueue all of it, or until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        if self._load.warm:
            self._warm_up()
        steps, weights = list(self._steps), list(self._steps.values())
        while self._tried < self._load.jobs and not self._stopped:
            (step,) = self._random.choices(steps, weights)
            try:
                step()
            except (StoreUnavailable, OutcomeUnknown, DBAPIError) as error:
                print(type(error).__name__, error, flush=True)
                time.sleep(AFTER_TROUBLE)
            time.sleep(self._load.pause)
        tq.close()

    def _warm_up(self) -> None:
        """Enqueue one, and wait until somebody runs it."""
        key = f"{self._load.name}-0"
        ledger.write(What.ENQUEUED, key)
        self._own(lambda: plain.enqueue(key, 0.0), [key])
        while not ledger.has(What.STARTED, key) and not self._stopped:
            time.sleep(LOOK_EVERY)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True  # a flag and no Event: its lock may be held by the very code that the signal interrupts

    def _alone(self) -> None:
        key, prepared = self._call()
        self._own(lambda: tq.enqueue(prepared), [key])

    def _in_bulk(self) -> None:
        calls = [self._call() for _ in range(BULK)]
        self._own(lambda: tq.enqueue_many([prepared for _, prepared in calls]), keys_of(calls))

    def _in_session(self) -> None:
        """Enqueue in a session that commits, with a savepoint in the middle that does not."""
        before, within, after = ([self._call()] for _ in range(3))
        with Session(self._engine) as session:
            enqueue(before, session)
            with session.begin_nested() as savepoint:
                enqueue(within, session)
                savepoint.rollback()
            told(What.ROLLED_BACK, keys_of(within))
            enqueue(after, session)
            session.commit()
        told(What.COMMITTED, keys_of([*before, *after]))

    def _rolled_back(self) -> None:
        calls = [self._call() for _ in range(2)]
        with Session(self._engine) as session:
            enqueue(calls, session)
            session.rollback()
        told(What.ROLLED_BACK, keys_of(calls))

    def _own(self, work: Callable[[], object], keys: Sequence[str]) -> None:
        """Enqueue in a transaction of TomQueue's own, and believe what it says when that fails."""
        try:
            work()
        except StoreUnavailable:
            told(What.ROLLED_BACK, keys)
            raise
        told(What.COMMITTED, keys)

    def _call(self) -> tuple[str, Prepared]:
        """Make up the next job, and write down that it is about to be enqueued."""
        self._tried += 1
        load, random = self._load, self._random
        definition = random.choices([plain, atomic], [3, 1])[0]
        long = bool(load.long_every) and self._tried % load.long_every == 0
        key = key_of(load.name, self._tried, long=long, atomic=definition is atomic)
        delay = random.uniform(0, load.latest) if random.random() < load.delayed else None
        ledger.write(What.ENQUEUED, key, due=0.0 if delay is None else boot_time() + delay)
        options = definition.using(
            queue=random.choice(["default", "default", "mailers"]), priority=random.choice(list(Priority)), delay=delay
        )
        return key, options.prepare(key, load.long if long else load.seconds, random.randbytes(load.padding // 2).hex())


def enqueue(calls: Sequence[tuple[str, Prepared]], session: Session) -> None:
    """Enqueue in the caller's session."""
    tq.enqueue_many([prepared for _, prepared in calls], session=session)


def keys_of(calls: Sequence[tuple[str, Prepared]]) -> list[str]:
    """Return the keys of calls."""
    return [key for key, _ in calls]


def told(what: What, keys: Sequence[str]) -> None:
    """Write down what became of keys."""
    for key in keys:
        ledger.write(what, key)


if __name__ == "__main__":
    Producer(msgspec.json.decode(sys.argv[1], type=Load)).run()
