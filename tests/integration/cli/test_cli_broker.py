"""The operator's view of the broker: doctor, and both sides of a queue beside each other."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, create_engine, text

from tests.harness import change, happens
from tests.news import connected, rabbit
from tests.rabbitmq_server import Broker
from tests.servers import USER
from tomqueue import TomQueue
from tomqueue.cli.diagnosis import BROKER, DATABASE, of_database
from tomqueue.cli.main import command

SHOP = """
from tomqueue import TomQueue
tq = TomQueue()

@tq.consumer(name="parcel", exchange="{prefix}.orders", routing_key="#", priority="low")
def parcel(message):
    pass
"""
Run = Callable[..., tuple[int, str, str]]


def run_with(environment: dict[str, str]) -> Run:
    """Return what runs the command on a database and a broker alone."""

    def act(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(command, arguments, env=environment, prog_name="tomqueue")
        return result.exit_code, result.stdout, result.stderr

    return act


@pytest.fixture
def tq(postgres_url: str, rabbitmq_url: str, rabbitmq_prefix: str) -> Iterator[TomQueue]:
    """Give an application on PostgreSQL with the shared broker."""
    made = TomQueue(postgres_url, broker_url=rabbitmq_url, prefix=rabbitmq_prefix)
    run_with({"TOMQUEUE_DATABASE_URL": postgres_url})("migrate")
    yield made
    made.close()


@pytest.fixture
def run(tq: TomQueue, postgres_url: str, rabbitmq_url: str, rabbitmq_prefix: str) -> Run:
    """Give the command there."""
    return run_with(
        {
            "TOMQUEUE_DATABASE_URL": postgres_url,
            "TOMQUEUE_BROKER_URL": rabbitmq_url,
            "TOMQUEUE_PREFIX": rabbitmq_prefix,
        }
    )


def enqueue(tq: TomQueue, count: int = 1, **options: Any) -> int:
    """Enqueue jobs, each with a message of its own that the broker has; return the last one's id."""

    @tq.job(name=f"note{len(tq.registry.names())}")
    def note() -> None:
        raise AssertionError

    for _ in range(count):
        job = note.using(**options).enqueue()
        assert tq.tools().publisher.flush(20) == 0
    return job.id


@contextmanager
def closing_engine(url: str) -> Iterator[Engine]:
    """Give an engine that leaves no connection behind."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


def levels(output: str) -> dict[str, str]:
    """Return the worst level by the name of each finding."""
    found: dict[str, str] = {}
    for one in json.loads(output)["findings"]:
        found[one["name"]] = max(found.get(one["name"], "ok"), one["level"], key=["ok", "warning", "problem"].index)
    return found


def test_both_sides_of_a_queue_stand_beside_each_other(tq: TomQueue, run: Run) -> None:
    """Ready rows, messages and consumers by priority; JSON has all, the table what there is."""
    enqueue(tq, 2, priority="high", queue="mailers")
    enqueue(tq, 1, priority="bulk", queue="mailers")
    consumer = rabbit(tq.tools().store, tq.settings.broker_url, tq.settings.prefix).consumer(lambda: ["mailers"])
    connected(consumer)

    def seen() -> dict[str, Any]:
        (queue,) = json.loads(run("queues", "list", "--json")[1])
        assert queue["ready"] == 3
        return queue["broker"]  # type: ignore[no-any-return]

    assert seen()["high"]["ready"] == 2
    assert seen()["low"] == {"ready": 0, "messages": 0, "consumers": 1}
    consumer.close()
    assert happens(lambda: seen()["high"] == {"ready": 2, "messages": 2, "consumers": 0})
    table = run("queues", "list")[1]
    assert "MESSAGES" in table
    assert any(line.split() == ["mailers", "bulk", "1", "1", "0"] for line in table.splitlines())


def test_a_queue_that_the_broker_does_not_know(tq: TomQueue, run: Run) -> None:
    """It has a dash, and looking declares nothing."""
    tools = tq.tools()
    tools.store.know_queues(["silent"])
    assert json.loads(run("queues", "list", "--json")[1])[0]["broker"]["high"]["messages"] is None
    assert json.loads(run("queues", "list", "--json")[1])[0]["broker"]["high"]["messages"] is None


def test_doctor_finds_nothing_wrong(tq: TomQueue, run: Run) -> None:
    """But that nobody works yet."""
    enqueue(tq)
    code, output, _ = run("doctor", "--json")
    assert (code, levels(output)["workers"], levels(output)["deferred"]) == (1, "problem", "warning")
    others = levels(output).keys() - {"workers", "deferred"}
    assert {levels(output)[name] for name in others} == {"ok"}
    assert set(levels(output)) == set(DATABASE) | set(BROKER) - {"consumers"}
    assert "RabbitMQ" in run("doctor")[1]


def test_doctor_finds_an_alarm_and_another_topology(postgres_url: str, broker: Broker, prefix: str) -> None:
    """Each with its cure; a broker that is away as well; and never a password."""
    environment = {"TOMQUEUE_DATABASE_URL": postgres_url, "TOMQUEUE_BROKER_URL": broker.url, "TOMQUEUE_PREFIX": prefix}
    run = run_with(environment)
    run("migrate")
    with closing(TomQueue(postgres_url, broker_url=broker.url, prefix=prefix)) as tq:
        enqueue(tq)
    code, output, _ = run_with({**environment, "TOMQUEUE_QUEUE_TYPE": "quorum"})("doctor", "--json")
    assert (code, levels(output)["topology"]) == (1, "problem")
    broker.ctl("set_vm_memory_high_watermark", "0.000001")
    code, output, _ = run("doctor", "--json")
    assert (code, levels(output)["alarm"], levels(output)["topology"]) == (1, "problem", "ok")
    broker.ctl("set_vm_memory_high_watermark", "0.6")
    broker.ctl("purge_queue", f"{prefix}.default.normal")
    assert levels(run("doctor", "--json")[1])["news"] == "warning"
    broker.stop()
    code, output, _ = run("doctor", "--json")
    assert (code, levels(output)["broker"]) == (1, "problem")
    listed = run("queues", "list")
    assert (listed[0], "is away" in listed[2], "default" in listed[1]) == (0, True, True)
    assert broker.password not in output + listed[2]


def test_the_queues_of_consumers(
    run: Run, rabbitmq_url: str, rabbitmq_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a consumer of another program's exchange is shown, and doctor misses its worker."""
    module = f"shop_{rabbitmq_prefix.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(SHOP.format(prefix=rabbitmq_prefix))
    monkeypatch.syspath_prepend(tmp_path)
    before = json.loads(run("--app", f"{module}:tq", "doctor", "--json")[1])["findings"]
    assert f"queue {rabbitmq_prefix}.consumer:parcel" in str(before)
    channel = pika.BlockingConnection(pika.URLParameters(rabbitmq_url)).channel()
    channel.queue_declare(f"{rabbitmq_prefix}.consumer:parcel", durable=True, arguments={"x-queue-type": "classic"})
    channel.basic_publish("", f"{rabbitmq_prefix}.consumer:parcel", b"{}")
    assert happens(lambda: "1" in run("--app", f"{module}:tq", "queues", "list")[1].splitlines()[-1].split())
    found = json.loads(run("--app", f"{module}:tq", "doctor", "--json")[1])["findings"]
    (about,) = [one for one in found if one["name"] == "consumers"]
    assert about["text"].startswith("1 messages wait and no worker consumes for parcel")
    channel.connection.close()


def test_doctor_looks_at_the_broker_although_the_tables_are_missing(
    postgres_url: str, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """What can be examined without them is."""
    environment = {"TOMQUEUE_BROKER_URL": rabbitmq_url, "TOMQUEUE_PREFIX": rabbitmq_prefix}
    found = levels(run_with({"TOMQUEUE_DATABASE_URL": postgres_url, **environment})("doctor", "--json")[1])
    assert (found["tables"], found["broker"], found["alarm"]) == ("problem", "ok", "ok")
    assert "topology" not in found


def test_republish_of_a_queue_that_nobody_used(tq: TomQueue, run: Run) -> None:
    """A mistyped name is an error that lists the known ones."""
    enqueue(tq, queue="mailers")
    code, _, error = run("republish", "--queue", "mailer")
    assert (code, "known queues: " in error, "mailers" in error) == (3, True, True)


def test_doctor_finds_what_the_database_suffers_from(
    tq: TomQueue, run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that is held open, claims of nobody, due jobs that nobody announces."""
    job, lost = enqueue(tq), enqueue(tq)
    change(tq, job, announced_at=None, run_at=tq.jobs.get(job).created_at.replace(year=2020))
    change(tq, lost, locked_by=77, claim_token=77, locked_at=tq.jobs.get(lost).created_at)
    monkeypatch.setattr(of_database, "LONG", of_database.LONG * 0)
    with closing_engine(postgres_url) as engine, engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        found = levels(run("doctor", "--json")[1])
        assert (found["snapshots"], found["claims"], found["due"]) == ("warning", "problem", "problem")
        connection.rollback()


def test_doctor_with_few_rights(postgres_url: str, broker: Broker, prefix: str) -> None:
    """What may not be examined is told as that, not as a topology to be deleted, and the rest follows."""
    environment = {"TOMQUEUE_DATABASE_URL": postgres_url, "TOMQUEUE_BROKER_URL": broker.url, "TOMQUEUE_PREFIX": prefix}
    run_with(environment)("migrate")
    with closing(TomQueue(postgres_url, broker_url=broker.url, prefix=prefix)) as tq:
        enqueue(tq)
    broker.ctl("add_user", f"poor-{prefix}", "password")
    broker.ctl("set_permissions", f"poor-{prefix}", "", ".*", ".*")
    url = broker.url.replace(f"{USER}:{broker.password}", f"poor-{prefix}:password")
    output = run_with({**environment, "TOMQUEUE_BROKER_URL": url})("doctor", "--json")[1]
    found = levels(output)
    assert (found["topology"], found["alarm"], found["unseen"]) == ("warning", "ok", "ok")
    assert "could not be examined: RabbitMQ at" in output
    assert "access to exchange" in output or "access to queue" in output
    assert "delete it at the broker" not in output


def test_doctor_without_a_broker(tmp_path: Path) -> None:
    """A file is all that there is; a missing one is a problem with a cure."""
    run = run_with({"TOMQUEUE_DATABASE_URL": f"sqlite:///{tmp_path / 'jobs.db'}"})
    code, output, _ = run("doctor", "--json")
    assert (code, levels(output)["database"]) == (1, "problem")
    run("migrate")
    code, output, _ = run("doctor", "--json")
    assert code == 0
    assert set(levels(output).values()) == {"ok"}
