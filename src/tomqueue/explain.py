"""Why is this job not running? Everything that stands in its way, and what to do about each."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from tomqueue.definition import Registry
from tomqueue.error_text import headline
from tomqueue.errors import UnknownJob
from tomqueue.job import Job, State
from tomqueue.priority import PRIORITIES, Priority
from tomqueue.redaction import SEALED
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import WorkerRow
from tomqueue.store.limit_table import LimitRow
from tomqueue.store.workflows import Awaited
from tomqueue.times import age, pace, when

__all__ = ["Explanation", "Finding", "Scene", "bounds_of", "explain", "is_alive", "serves", "takes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know about a job. ``code`` is for programs; ``cure`` says what to do, if anything."""

    code: str
    text: str
    cure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A job, and what was found about it; the first finding is what matters most."""

    job: Job
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the rules look at. ``registry`` is None where the application is not known: names are not judged then.

    ``keys`` are the ids of its keys.
    """

    job: Job
    now: datetime
    paused: bool
    workers: Sequence[WorkerRow]
    ahead: int
    registry: Registry | None
    key_holder: int | None
    """Another job that holds its unique key."""
    awaited: Awaited | None
    """What it waits for in its workflow."""
    limit: LimitRow | None = None
    """The limit that the job waits for."""
    keys: Collection[str] = ()


def explain(
    job_id: int,
    catalog: Catalog,
    workers: Sequence[WorkerRow],
    registry: Registry | None,
    now: datetime,
    *,
    keys: Collection[str] = (),
) -> Explanation:
    """Explain one job. ``now`` is the database's clock. Raises JobNotFound."""
    job = catalog.get(job_id)
    scene = Scene(
        job=job,
        now=now,
        paused=catalog.queues.states().get(job.queue, False),
        workers=workers,
        ahead=catalog.ahead(job) if job.state is State.READY else 0,
        registry=registry,
        key_holder=catalog.key_holder(job),
        awaited=catalog.workflows.awaited_by(job) if job.state is State.HELD else None,
        limit=catalog.limit_of(job) if job.state is State.HELD else None,
        keys=keys,
    )
    findings = [finding for rule in RULES if (finding := rule(scene)) is not None]
    return Explanation(job=job, findings=findings or [NOTHING])


def is_alive(worker: WorkerRow, now: datetime) -> bool:
    """Say whether a worker's lease is running and was not taken over."""
    return worker.kind != "dead" and worker.expires_at >= now


def serves(worker: WorkerRow, queue: str) -> bool:
    """Say whether a worker takes jobs of ``queue`` (``*``: of every queue)."""
    return worker.queues == "*" or queue in worker.queues.split(",")


def takes(worker: WorkerRow, rank: int) -> bool:
    """Say whether a worker takes jobs of the priority of this rank."""
    return worker.first_rank <= rank <= worker.last_rank


def bounds_of(worker: WorkerRow) -> str:
    """Return which priorities a worker takes; empty for all."""
    if takes(worker, PRIORITIES.start) and takes(worker, PRIORITIES[-1]):
        return ""
    most, least = Priority.of_rank(worker.first_rank), Priority.of_rank(worker.last_rank)
    return f"{most} only" if most is least else f"{most} to {least} only"


# The rules, in the order of their findings --------------------------------------------------------------


def cancelled(scene: Scene) -> Finding | None:
    """Tell of a job that a person has cancelled: while it waited, or while it runs."""
    job = scene.job
    if job.cancelled_at is None or job.state not in {State.FAILED, State.RUNNING}:
        return None
    cancelled_at = when(job.cancelled_at, scene.now)
    if job.state is State.FAILED:
        cure = f"to run it all the same: `tomqueue jobs retry {job.id}`"
        return Finding(code="cancelled", text=f"it was cancelled at {cancelled_at}", cure=cure)
    return Finding(
        code="cancel_requested",
        text=f"it was cancelled at {cancelled_at}: its worker interrupts it, and it will not run again",
        cure="wait until it has ended: what ignores that for the grace time is killed",
    )


def failed(scene: Scene) -> Finding | None:
    """Tell of a job that failed for good."""
    job = scene.job
    if job.failed_at is None or job.cancelled_at is not None:
        return None
    attempts = f"after {number(job.attempts, 'attempt')}"
    text = f"it failed for good {age(job.failed_at, scene.now)} {attempts}: {told(job.last_error)}"
    return Finding(code="failed", text=text, cure=f"mend the cause, then `tomqueue jobs retry {job.id}`")


def running(scene: Scene) -> Finding | None:
    """Tell which worker has it."""
    job = scene.job
    if job.state is not State.RUNNING:
        return None
    since = "" if job.locked_at is None else f" since {when(job.locked_at, scene.now)}"
    worker = next((one for one in scene.workers if one.id == job.locked_by), None)
    if worker is not None and is_alive(worker, scene.now):
        return Finding(code="running", text=f"worker {worker.name} has had it{since}")
    name = f"worker {job.locked_by}" if worker is None else f"worker {worker.name}"
    return Finding(
        code="worker_lost",
        text=f"{name} has had it{since}, and that worker is gone",
        cure="a running supervisor frees it by itself; start one if none runs: `tomqueue run`",
    )


def held(scene: Scene) -> Finding | None:
    """Tell of a job that waits for a limit or for another job."""
    if scene.job.state is not State.HELD:
        return None
    if scene.awaited is not None:
        return waits_for(scene.job, scene.awaited)
    if scene.limit is not None:
        return held_by(scene, scene.limit)
    return Finding(code="held", text="it is held: it waits for a limit or for another job")


def waits_for(job: Job, awaited: Awaited) -> Finding:
    """Tell which jobs of its workflow go first."""
    named = [f"job {one.id} {one.name} ({one.state})" for one in awaited.jobs]
    if (more := awaited.pending + awaited.failed - len(named)) > 0:
        named.append(f"{more:,} more")
    failed = next((one.id for one in awaited.jobs if one.state is State.FAILED), None)
    return Finding(
        code="waits_for_jobs",
        text=f"it waits for its turn in workflow {job.workflow}, after {', '.join(named) or 'what is gone'}",
        cure=None if failed is None else f"mend the cause, then `tomqueue jobs retry {failed}`",
    )


def held_by(scene: Scene, limit: LimitRow) -> Finding:
    """Tell what a job that a limit holds waits for: its time, or its turn."""
    job = scene.job
    name = f"the limit {limit.name}" if not limit.is_fair else f"its turn in queue {job.queue}"
    if limit.key is not None:
        name += f", {'tenant' if limit.is_fair else 'key'} {limit.key}"
    if limit.concurrency is not None:
        name += f", {limit.concurrency:,} at once"
    if limit.every is not None:
        name += f", {pace(limit.every)}"
    if job.run_at > scene.now:
        text = f"its time has not come: it is due at {when(job.run_at, scene.now)}, and then waits for {name}"
        return Finding(code="held", text=text, cure=f"to have it due now: `tomqueue jobs retry {job.id}`")
    numbers = f"{limit.running:,} run, {limit.let_in:,} may start, {limit.waiting:,} wait"
    cure = None if limit.is_fair else f"`tomqueue limits set {limit.name} …` lets more in"
    return Finding(code="held", text=f"it waits for {name}: {numbers}", cure=cure)


def parked(scene: Scene) -> Finding | None:
    """Tell of a job that no worker could read so far."""
    job = scene.job
    if job.state is not State.PARKED:
        return None
    again = f"it is offered again {age(job.run_at, scene.now)}"
    return Finding(
        code="parked",
        text=f"no worker could read it in {number(job.parks, 'try', 'tries')} ({again}): {told(job.last_error)}",
        cure="start a worker whose application can read it: it is released at once",
    )


def scheduled(scene: Scene) -> Finding | None:
    """Tell of a job whose time has not come."""
    job = scene.job
    if job.state is not State.SCHEDULED:
        return None
    text = f"its time has not come: it is due at {when(job.run_at, scene.now)}"
    if job.attempts and job.last_error:
        text += f"; attempt {job.attempts} failed: {told(job.last_error)}"
    return Finding(code="scheduled", text=text, cure=f"to run it now: `tomqueue jobs retry {job.id}`")


def keyless(scene: Scene) -> Finding | None:
    """Tell of a unique job whose key another one holds."""
    job, holder = scene.job, scene.key_holder
    if holder is None or job.state is State.RUNNING:
        return None
    if job.state is not State.FAILED:
        return Finding(
            code="unique_key_lost",
            text=f"job {holder} holds its unique key by now; it goes on without it, and runs too",
        )
    return Finding(
        code="unique_key_taken",
        text=f"job {holder} holds its unique key by now",
        cure=f"it cannot be retried before that job lets the key go: see `tomqueue explain {holder}`",
    )


def expired(scene: Scene) -> Finding | None:
    """Tell of a job that was to start by an instant that is over."""
    job = scene.job
    if not waits(job) or job.expires_at is None or job.expires_at > scene.now:
        return None
    return Finding(
        code="expired",
        text=f"it expired at {when(job.expires_at, scene.now)}: the next worker fails it without running it",
        cure=f"to run it all the same: `tomqueue jobs retry {job.id}`",
    )


def unknown(scene: Scene) -> Finding | None:
    """Tell of a job that this application does not declare."""
    if scene.registry is None or scene.job.state is State.RUNNING:
        return None
    try:
        scene.registry.find(scene.job.name)
    except UnknownJob as error:
        return Finding(
            code="unknown_name",
            text=f"a worker of this application would park it: {error}",
            cure=f"declare the job, or `tomqueue jobs cancel {scene.job.id}`",
        )
    return None


def undecryptable(scene: Scene) -> Finding | None:
    """Tell of a job that is encrypted with a key which this application does not have."""
    job = scene.job
    if scene.registry is None or job.state is State.RUNNING or not job.payload.startswith(SEALED):
        return None
    key = job.payload.removeprefix(SEALED).partition(":")[0]
    if key in scene.keys:
        return None
    return Finding(
        code="unknown_key",
        text=f"it is encrypted with the key {key}, which this application does not have: its workers park it",
        cure="add that key to encryption_keys (TOMQUEUE_ENCRYPTION_KEYS) and restart the workers: it is released then",
    )


def paused(scene: Scene) -> Finding | None:
    """Tell of a paused queue."""
    if not waits(scene.job) or not scene.paused:
        return None
    queue = scene.job.queue
    return Finding(code="queue_paused", text=f"queue {queue} is paused", cure=f"`tomqueue queues resume {queue}`")


def unserved(scene: Scene) -> Finding | None:
    """Tell that no worker is there for it."""
    job, alive = scene.job, [one for one in scene.workers if is_alive(one, scene.now)]
    serving = [one for one in alive if serves(one, job.queue)]
    if not waits(job) or any(takes(one, job.priority.rank) for one in serving):
        return None
    if serving:
        return outside(job, serving)
    others = f" ({number(len(alive), 'worker')} of other queues)" if alive else ""
    return Finding(
        code="no_worker",
        text=f"no live worker serves queue {job.queue}{others}",
        cure=f"start one: `tomqueue run --queues {job.queue}`",
    )


def outside(job: Job, serving: Sequence[WorkerRow]) -> Finding:
    """Tell that the workers of a job's queue do not take its priority."""
    taken = ", ".join(sorted({bounds_of(one) for one in serving}))
    served = [rank for rank in PRIORITIES if any(takes(one, rank) for one in serving)]
    nearest = min(served, key=lambda rank: abs(rank - job.priority.rank))
    return Finding(
        code="no_worker_of_priority",
        text=f"no live worker of queue {job.queue} takes priority {job.priority} "
        f"({number(len(serving), 'worker')}: {taken})",
        cure=f"start one: `tomqueue run --queues {job.queue} --min-priority {job.priority}`, or "
        f"`tomqueue jobs reprioritise {job.id} --to {Priority.of_rank(nearest)}`",
    )


def crashed(scene: Scene) -> Finding | None:
    """Tell of a job that killed its worker process, or may have."""
    job = scene.job
    if job.state is State.FAILED or not (job.crashes or job.suspect):
        return None
    if job.crashes:
        text = f"its worker process died while it ran, {number(job.crashes, 'time')} in a row: {told(job.last_error)}"
    else:
        text = "its worker process died while it ran beside others; it is claimed alone the next time"
    return Finding(code="crashed", text=text, cure="look for what ends the process (memory, a native library)")


def unannounced(scene: Scene) -> Finding | None:
    """Tell of a job that is due while the workers do not know it yet."""
    if scene.job.state is not State.READY or scene.job.announced_at is not None:
        return None
    return Finding(
        code="not_announced", text="it is due and not announced yet: a running worker does that within a second"
    )


def behind(scene: Scene) -> Finding | None:
    """Tell how many go first."""
    if not scene.ahead:
        return None
    first = "1 ready job of its queue goes" if scene.ahead == 1 else f"{scene.ahead:,} ready jobs of its queue go"
    return Finding(code="behind", text=f"{first} first", cure="add workers if that takes too long")


RULES: Sequence[Callable[[Scene], Finding | None]] = (
    cancelled,
    failed,
    running,
    held,
    parked,
    scheduled,
    keyless,
    expired,
    unknown,
    undecryptable,
    paused,
    unserved,
    crashed,
    unannounced,
    behind,
)
NOTHING = Finding(code="next", text="nothing stands in its way: the next free worker takes it")


def waits(job: Job) -> bool:
    """Say whether a worker may still take the job."""
    return job.state not in {State.FAILED, State.RUNNING}


def told(error: str | None) -> str:
    """Return what names an error."""
    return headline(error) or "no error is recorded"


def number(count: int, thing: str, things: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"
