"""What ``tomqueue doctor`` examines at the broker. Each examination returns what it found, with the cure."""

from collections.abc import Callable, Iterator

from tomqueue.cli.diagnosis.finding import Diagnosis, Level
from tomqueue.cli.target import Target
from tomqueue.explain import is_alive
from tomqueue.transport.rabbitmq import Inspection

__all__ = ["BROKER", "WITH_TABLES"]

OLDEST_BROKER = (3, 10)

Look = Callable[[Target, Inspection], Iterator[Diagnosis]]


def node(_target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """Say which broker answers, and how fast."""
    found = broker.node()
    text = (
        f"{found.product} {found.version} ({found.cluster}) at {found.place} answers in {found.seconds * 1000:.1f} ms"
    )
    numbers = tuple(int(part) for part in found.version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_BROKER:
        yield Diagnosis(Level.WARNING, text, "TomQueue is tested with RabbitMQ 3.10 and newer: upgrade it")
    else:
        yield Diagnosis(Level.OK, text)


def topology(target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """Compare what is declared with what the settings say."""
    queues, consumers = list(target.catalog.queues.states()), list(target.tq.consumers)
    different = broker.different(queues, consumers)
    for one in different:
        yield Diagnosis(Level.PROBLEM, f"{one.name} exists with other properties: {one.words}", one.cure)
    missing = broker.missing(queues, consumers)
    if missing:
        text = f"not declared yet: {', '.join(missing)}"
        yield Diagnosis(Level.WARNING, text, "a worker or the next enqueue declares them; jobs that are ready by then: "
                        "`tomqueue republish`")  # fmt: skip
    if not different and not missing:
        also = f" and {len(consumers)} consumers" if consumers else ""
        yield Diagnosis(Level.OK, f"exchanges and queues of {len(queues)} known queues{also} are as the settings say")


def consumers(target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """Find consumers of foreign exchanges whose messages nobody handles."""
    for one in target.tq.consumers:
        depth = broker.of_consumer(one.name)
        if depth is None or (depth.messages and not depth.consumers):
            waiting = 0 if depth is None else depth.messages
            text = f"{waiting:,} messages wait and no worker consumes for {one.name} (exchange {one.exchange})"
            yield Diagnosis(Level.WARNING, text, f"start `tomqueue run` with queue {one.queue}, or resume that queue")


def alarm(_target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """See whether the broker takes news."""
    reason = broker.alarm()
    if reason is None:
        yield Diagnosis(Level.OK, "no alarm: it takes news")
    else:
        text = f"it takes no news: {reason}"
        yield Diagnosis(
            Level.PROBLEM,
            text,
            "give it memory or disk, or its user the right to write; jobs are enqueued and run without it meanwhile",
        )


def news(target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """Compare what is ready here with what waits there."""
    ready = target.catalog.queues.ready_counts()
    depths = broker.depths(ready)
    silent = [queue for queue in ready if not any(depths[one].messages for one in depths if one[0] == queue)]
    if not silent:
        yield Diagnosis(Level.OK, "the broker has news of every queue with ready jobs")
        return
    text = f"jobs are ready and the broker has no news of them in {', '.join(sorted(silent))}"
    cure = "a moment later a worker has taken them; if not: `tomqueue republish`"
    yield Diagnosis(Level.WARNING, text, cure)


def unseen(_target: Target, _broker: Inspection) -> Iterator[Diagnosis]:
    """Say what cannot be seen over AMQP."""
    yield Diagnosis(
        Level.OK,
        "not visible over AMQP, and not needed for jobs: the broker's clock (only the database's counts), and "
        "consumer_timeout (a message is acked when its job starts)",
    )


def leader(target: Target, _broker: Inspection) -> Iterator[Diagnosis]:
    """See whether a deferred process lives."""
    now = target.store.now()
    if any(worker.kind == "deferred" and is_alive(worker, now) for worker in target.leases.all()):
        yield Diagnosis(Level.OK, "a deferred process lives")
    else:
        text = "no deferred process lives: scheduled and retried jobs are found by idle workers only"
        yield Diagnosis(Level.WARNING, text, "start `tomqueue run`, or `tomqueue deferred` beside `tomqueue work`")


BROKER: dict[str, Look] = {
    "broker": node,
    "topology": topology,
    "consumers": consumers,
    "news": news,
    "deferred": leader,
    "unseen": unseen,
    "alarm": alarm,
}
WITH_TABLES = {topology, news, leader}
"""What cannot be examined without the tables."""
