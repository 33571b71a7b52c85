"""Let a process die at a chosen step, to show that nothing is lost there. For tests; nothing happens unless told.

``TOMQUEUE_CRASH_AT=worker.after_claim:3@/tmp/mark`` kills the process (SIGKILL, as a power cut would) when it
reaches that point the third time. ``:3`` may be left out: the first time. With ``@/tmp/mark`` only one process
dies: the one that can make that file, in which it writes the time (seconds of the boot clock) and its id.

``worker.after_claim:3!freeze`` stops the process there in place of killing it (SIGSTOP, as a suspended machine would),
``!drain`` lets it go on, and tells its parent to end (SIGTERM, as a deploy would).

The variable is read when TomQueue is imported. Without it, reaching a point is a call of a function that does nothing.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from tomqueue.service import boot_time

__all__ = ["POINTS", "VARIABLE", "CrashPlan", "arm", "plan_of", "reached"]

VARIABLE = "TOMQUEUE_CRASH_AT"
PLAN = re.compile(r"(?P<point>[a-z_.]+)(:(?P<times>[1-9][0-9]*))?(!(?P<act>[a-z]+))?(@(?P<mark>.+))?")
ACTS: Mapping[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "drain": lambda: os.kill(os.getppid(), signal.SIGTERM),
}
"""What may happen at a point."""
POINTS = {
    "enqueue.before_commit": "the row is about to be committed, or is written in the caller's transaction",
    "enqueue.after_commit": "the row is committed, its news is not published",
    "publish.before_confirm": "the broker has the news, and its confirm is not looked at",
    "announce.after_commit": "due rows are stamped, their news is not published",
    "announce.after_publish": "due rows are stamped, their news is on its way",
    "worker.after_delivery": "news has come, nothing is claimed",
    "worker.after_claim": "rows are claimed, their news is not acked",
    "worker.before_start": "the news is acked, the job has not started",
    "worker.after_job": "the job has ended, nothing of that is written",
    "worker.before_flush": "jobs have ended, their ends are about to be committed by themselves",
    "worker.after_finish": "the ends of jobs are committed, the worker has not taken note of it",
    "worker.in_give_back": "what was claimed ahead is being given back, nothing of that is committed",
    "worker.before_requeue": "rows are given back, their news is not requeued",
    "atomic.before_commit": "an atomic job has ended, its transaction with its finish is open",
    "atomic.after_commit": "an atomic job and its finish are committed, the worker has not taken note of it",
    "store.before_commit": "any short transaction, just before its COMMIT",
    "store.after_commit": "any short transaction, just after its COMMIT",
    "supervisor.before_free": "a worker process has died, its rows are not freed",
    "supervisor.before_hand_over": "the rows of a dead process are free, nobody was told",
    "sweep.after_bury": "the lease of a lost host is taken over, its rows are not freed",
}
"""Every point, and what is true there."""


class CrashPlan:
    """Acts when this process reaches ``point`` for the ``times``-th time; once in all, if there is a ``mark``."""

    def __init__(self, point: str, times: int, mark: str | None, act: str) -> None:
        self.point = point
        self.mark = mark
        self._act = ACTS[act]
        self._left = times
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        """Die here (or what else is planned), if it is the point and the time."""
        if point != self.point:
            return
        with self._lock:  # nothing else of ours goes on between counting and dying
            self._left -= 1
            if self._left == 0 and self._is_first():
                self._act()

    def _is_first(self) -> bool:
        if self.mark is None:
            return True
        with suppress(FileExistsError):
            descriptor = os.open(self.mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, f"{boot_time():.6f} {os.getpid()}\n".encode())
            return True
        return False


def plan_of(environment: Mapping[str, str]) -> Callable[[str], None]:
    """Return what happens at points: nothing, or what the variable says. Raises ValueError for what it cannot say."""
    text = environment.get(VARIABLE)
    if not text:
        return pass_by
    found = PLAN.fullmatch(text)
    act = "kill" if found is None else found["act"] or "kill"
    if found is None or found["point"] not in POINTS or act not in ACTS:
        how = f"say POINT[:TIMES][!ACT][@FILE]; the acts are {', '.join(ACTS)}; the points are {', '.join(POINTS)}"
        raise ValueError(f"{VARIABLE}={text!r}: {how}")
    return CrashPlan(found["point"], int(found["times"] or 1), found["mark"], act)


def arm(plan: CrashPlan) -> None:
    """Follow ``plan`` in this process from now on: for one that was forked to die, since there is no way back.

    Every module holds its own ``reached``, so that a point costs a call and no more; each is given the plan.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("tomqueue.") and hasattr(module, "reached"):
            setattr(module, "reached", plan)  # noqa: B010 - a module has whatever attributes it has


def pass_by(_point: str) -> None:
    """Do nothing: the usual case."""


def decided() -> Callable[[str], None]:
    """Read the variable; a wrong one ends the program with one clear line, before it does anything."""
    try:
        return plan_of(os.environ)
    except ValueError as error:
        raise SystemExit(str(error)) from None


reached = decided()
"""Call it with the name of a point."""
