"""A worker process that dies at a chosen step, and what its supervisor would do then."""

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from tomqueue.crash_points import POINTS, CrashPlan, arm
from tomqueue.daemon.deaths import Cause, Death, fates, reason_of
from tomqueue.daemon.in_process import options_of, worker_of
from tomqueue.daemon.own_lease import OwnLease
from tomqueue.errors import SettingsError, TomQueueError
from tomqueue.job import State
from tomqueue.service import boot_time
from tomqueue.store.atomic import current_transaction
from tomqueue.store.catalog import Filter
from tomqueue.worker.tools import Tools

__all__ = ["Crash", "NeedsCommits", "NotReached", "crash_at"]

WITHIN = 60.0
"""Seconds after which a process that has not died is killed: a job hangs, or a lock of the forked process does."""
LOOK_EVERY = 0.005
UNSEEN = "; no job was ready: is what the test enqueued in a transaction that has not committed?"
AGAIN_FOR = 2.0
"""Seconds for which a server may still commit what a client that died had sent (as the supervisor holds it)."""


class NotReached(TomQueueError):
    """The process ended, or hung, without coming to the point where it was to die."""


class NeedsCommits(TomQueueError):
    """A process is to crash whose jobs are in a transaction, which would end with it."""

    def __init__(self) -> None:
        super().__init__(
            "crash_at needs jobs that are committed: a process that dies takes its open transaction with it, and what "
            "is in this one no other process can see; use the fixture tomqueue_kit, on_temporary_database(tq) or "
            "on_own_database(tq) for this test"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """What a process had when it died: the ids of jobs that it had claimed, and of those that ran."""

    point: str
    claimed: tuple[int, ...]
    running: tuple[int, ...]


def crash_at(tools: Tools, point: str, run: Callable[[], object] | None, times: int) -> Crash:
    """Fork, let the child work until it dies at ``point``, and free what it held by the supervisor's own table."""
    if point not in POINTS:
        raise SettingsError(f"no crash point is called {point!r}; there are {', '.join(POINTS)}")
    if current_transaction.get() is not None:
        raise NeedsCommits
    nothing = run is None and not tools.catalog.count(Filter(state=State.READY))
    lease = OwnLease(tools, replace(options_of(()), until_idle=True))
    lease.open()
    try:
        tools.store.close()  # a database's connection does not survive a fork; the next use opens another
        pid = forked(lambda: live(tools, lease, point, run, times))
        lease.renew()
        status, hung = ended(pid)
        board = lease.board
        death = Death(
            cause=Cause.TOLD if hung or not status else Cause.CRASHED, reason=reason_of(status),
            running=board.running(), claims=board.claims(),
        )  # fmt: skip
        bury(tools, lease, death)
    finally:
        lease.close()
    if hung or status != -signal.SIGKILL:
        why = f"hung, and was killed after {WITHIN:g} s" if hung else death.reason
        raise NotReached(f"{point} was not reached ({POINTS[point]}): the process {why}{UNSEEN if nothing else ''}")
    return Crash(point=point, claimed=tuple(death.claims), running=tuple(slot.job for slot in death.running))


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a child, whose exit status says whether it came to its end; return the child's id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside: ours are not started yet
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the parent says what became of it
        traceback.print_exc()
    finally:
        os._exit(status)


def live(tools: Tools, lease: OwnLease, point: str, run: Callable[[], object] | None, times: int) -> None:
    """Do what the child is for."""
    arm(CrashPlan(point, times, None, "kill"))
    if run is None:
        worker_of(tools, lease).run()
    else:
        run()
        tools.publisher.close()  # the points of its thread, too


def ended(pid: int) -> tuple[int, bool]:
    """Wait for the end of the child; return its exit status (negative: the signal), and whether it hung till then."""
    until = boot_time() + WITHIN
    while boot_time() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), False
        time.sleep(LOOK_EVERY)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), True


def bury(tools: Tools, lease: OwnLease, death: Death) -> None:
    """Free the rows of the dead process; on a server again for as long as its last statement may still commit."""
    rows = fates(death, tools.store.now(), tools.settings.backoff_cap)
    until = boot_time() + (AGAIN_FOR if tools.store.live_locks() is None else 0.0)
    while rows:
        lease.leases.free(lease.worker, rows, tools.settings.max_crashes)
        if boot_time() >= until:
            break
        time.sleep(LOOK_EVERY * 10)
    lease.leases.remove(lease.worker)
