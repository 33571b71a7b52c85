"""Filling a fresh or failed-over broker from the database."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click.testing
import pytest

from tests.harness import change, make_app, row
from tests.news import arriving, connected, ids, rabbit
from tests.rabbitmq_server import Broker, delete_names
from tomqueue import TomQueue
from tomqueue.cli.main import command
from tomqueue.errors import JobStateError, PublishError, SettingsError
from tomqueue.job import Job
from tomqueue.transport.base import Consumer
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer

Enqueue = Callable[..., Job]


@pytest.fixture
def tq(tmp_path: Path, rabbitmq_url: str, rabbitmq_prefix: str) -> Iterator[TomQueue]:
    """Give an application with the shared broker."""
    made = make_app(tmp_path / "jobs.db", broker_url=rabbitmq_url, prefix=rabbitmq_prefix)
    yield made
    made.close()


@pytest.fixture
def note(tq: TomQueue) -> Any:
    """Give a job that is never run here."""

    @tq.job(name="note")
    def note() -> None:
        raise AssertionError

    return note


@pytest.fixture
def enqueue(note: Any) -> Enqueue:
    """Give what enqueues one."""
    return lambda **options: note.using(**options).enqueue()


def wipe(tq: TomQueue, url: str, prefix: str) -> None:
    """Lose all news, queues included."""
    tq.close()
    delete_names(url, prefix)


def consumer_of(tq: TomQueue, *queues: str) -> Consumer:
    """Return the working side, connected."""
    store = tq.tools().store
    made: RabbitConsumer = rabbit(store, tq.settings.broker_url, tq.settings.prefix).consumer(lambda: list(queues))
    return connected(made)


def test_a_wiped_broker_is_filled_most_urgent_first(
    tq: TomQueue, enqueue: Enqueue, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """Every ready job is told of again; what is failed, deferred, held or taken is not."""
    ready = [enqueue(priority=priority) for priority in ("bulk", "normal", "high", "normal")]
    others = [enqueue(), enqueue(), enqueue(), enqueue(delay=3600)]
    change(tq, others[0].id, failed_at=others[0].run_at)
    change(tq, others[1].id, held=True)
    change(tq, others[2].id, locked_by=7, claim_token=7, locked_at=others[2].run_at)
    wipe(tq, rabbitmq_url, rabbitmq_prefix)
    steps: list[int] = []
    assert tq.jobs.republish(progress=steps.append) == sum(steps) == len(ready)
    consumer = consumer_of(tq, "default")
    arrived = arriving(consumer, len(ready))
    assert ids(arrived) == [ready[place].id for place in (2, 1, 3, 0)]
    assert {one.notification.stamp for one in arrived} == {row(tq, job.id).announced_at for job in ready}
    consumer.close()


def test_only_some_are_published_anew(tq: TomQueue, enqueue: Enqueue, rabbitmq_url: str, rabbitmq_prefix: str) -> None:
    """By queue, and by age."""
    mail, _, old = enqueue(queue="mailers"), enqueue(), enqueue(queue="mailers")
    change(tq, old.id, created_at=old.created_at - timedelta(hours=2))
    wipe(tq, rabbitmq_url, rabbitmq_prefix)
    assert tq.jobs.republish(["mailers"]) == 2
    assert tq.jobs.republish(["mailers"], older_than=timedelta(hours=1)) == 1
    consumer = consumer_of(tq, "mailers")
    assert sorted(ids(arriving(consumer, 3))) == [mail.id, old.id, old.id]
    consumer.close()


def test_many_are_published_in_pieces(tq: TomQueue, note: Any, rabbitmq_url: str, rabbitmq_prefix: str) -> None:
    """More than one transaction, each job once although all have the same stamp."""
    jobs = tq.enqueue_many([note.prepare() for _ in range(1_234)])
    wipe(tq, rabbitmq_url, rabbitmq_prefix)
    assert tq.jobs.republish(rate=100_000) == len(jobs)
    consumer = consumer_of(tq, "default")
    assert sorted(ids(arriving(consumer, len(jobs)))) == [job.id for job in jobs]
    consumer.close()


def test_one_job_is_published_anew(tq: TomQueue, enqueue: Enqueue, rabbitmq_url: str, rabbitmq_prefix: str) -> None:
    """A ready one, also one that nobody has announced yet; others are refused."""
    ready, unannounced, failed = enqueue(), enqueue(), enqueue()
    change(tq, unannounced.id, announced_at=None)
    change(tq, failed.id, failed_at=failed.run_at)
    wipe(tq, rabbitmq_url, rabbitmq_prefix)
    tq.jobs.publish(ready.id)
    tq.jobs.get(unannounced.id).publish()
    with pytest.raises(JobStateError, match=f"job {failed.id} is not ready"):
        tq.jobs.publish(failed.id)
    with pytest.raises(JobStateError, match=f"use tq.jobs.publish\\({ready.id}\\)"):
        ready.publish()  # of the enqueue: nothing says that it is still so
    consumer = consumer_of(tq, "default")
    assert ids(arriving(consumer, 2)) == [ready.id, unannounced.id]
    consumer.close()


def test_a_broker_that_is_away_changes_nothing(
    tmp_path: Path, broker: Broker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error, before any row has a new stamp."""
    monkeypatch.setattr("tomqueue.transport.republisher.CONNECT_SECONDS", 0.2)
    tq = make_app(tmp_path / "jobs.db", broker_url=broker.url, prefix=prefix)
    broker.stop()

    @tq.job(name="note")
    def note() -> None:
        raise AssertionError

    job = note.enqueue()
    with pytest.raises(PublishError, match="nothing was changed"):
        tq.jobs.republish()
    assert row(tq, job.id).announced_at == job.announced_at
    tq.close()


def test_without_a_broker_there_is_no_news(tmp_path: Path) -> None:
    """The error says what to set."""
    tq = make_app(tmp_path / "jobs.db")
    with pytest.raises(SettingsError, match="set broker_url"):
        tq.jobs.republish()
    with pytest.raises(SettingsError, match="set broker_url"):
        tq.jobs.publish(1)
    tq.close()


def test_the_command(tq: TomQueue, enqueue: Enqueue, tmp_path: Path, rabbitmq_url: str, rabbitmq_prefix: str) -> None:
    """It says how many it published; without a broker what is missing."""
    enqueue()
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    environment = {
        "TOMQUEUE_DATABASE_URL": url,
        "TOMQUEUE_BROKER_URL": rabbitmq_url,
        "TOMQUEUE_PREFIX": rabbitmq_prefix,
    }
    run = click.testing.CliRunner().invoke
    done = run(command, ["republish", "--rate", "1000"], env=environment, prog_name="tomqueue")
    assert (done.exit_code, done.stdout) == (0, "published 1 jobs\n")
    refused = run(command, ["republish"], env={"TOMQUEUE_DATABASE_URL": url}, prog_name="tomqueue")
    assert refused.exit_code == 2
    assert "no broker: set broker_url" in refused.stderr


def test_the_transport_is_the_broker(tq: TomQueue) -> None:
    """A broker_url is all that it takes."""
    assert isinstance(tq.tools().transport, RabbitTransport)
