"""A broker that lies about everything: each job's effect is there once, and no job is left.

3,000 jobs in `make test`, 50,000 with TOMQUEUE_FAULTS_FULL=1; TOMQUEUE_FAULTS_SEED chooses other mischief.
"""

import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from tests.acceptance.site import Running, Site, wait_until
from tests.faults.hostile import HostileBroker
from tests.faults.profile import FULL
from tests.rabbitmq_server import delete_names
from tomqueue.transport.topology import Topology

JOBS = 50_000 if FULL else 3_000
PATIENCE = 3000.0 if FULL else 100.0
SEED = int(os.environ.get("TOMQUEUE_FAULTS_SEED", "1"))
QUEUES = ("default", "mailers")
PRIORITIES = ("high", "normal", "low", "bulk")
SIZES = (1, 1, 1, 2, 3, 5, 10, 20, 64)
"""Jobs of one transaction."""
NEVER = 1_000_000
"""Numbers from here on are those of jobs that are rolled back."""

MORE = """
from sqlalchemy import text
from tomqueue import Retry

@tq.job(name="effect", atomic=True)
def effect(ctx: JobContext, number: int):
    if number % 40 == 0 and ctx.attempt == 1:
        raise Retry(delay=0.5)
    ctx.connection.execute(text("INSERT INTO effects (number) VALUES (:number)"), {"number": number})
"""


def effect(number: int) -> None:
    """Stand for the job of this name."""


class Divided:
    """A site whose publishers and workers use different names at the broker."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.broker_url = broker_url
        mark = secrets.token_hex(4)
        self.source, self.target = Topology(f"source-{mark}"), Topology(f"target-{mark}")
        common: dict[str, Any] = {"broker_url": broker_url, "heartbeat": 0.5, "lease": 5, "more": MORE}
        self.publishing = Site(folder, database_url, prefix=self.source.prefix, **common)
        self.working = Site(folder, database_url, prefix=self.target.prefix, **common)
        self.publishing.tq.job(name="effect")(effect)
        self.publishing.run("migrate")
        self.engine = create_engine(database_url)
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE effects (number INTEGER NOT NULL)"))

    def close(self) -> None:
        self.publishing.tq.close()
        self.working.tq.close()
        self.engine.dispose()
        for topology in (self.source, self.target):
            delete_names(self.broker_url, topology.prefix)

    def enqueue_all(self, number: int, seed: int) -> None:
        """Enqueue the jobs in transactions of any size, some of which others roll back beside them."""
        choose = random.Random(seed)
        start = 0
        while start < number:
            end = min(number, start + choose.choice(SIZES))
            self._enqueue(range(start, end), choose, commit=True)
            if choose.random() < 0.3:
                self._enqueue(range(NEVER + start, NEVER + start + 5), choose, commit=False)
            start = end

    def _enqueue(self, numbers: range, choose: random.Random, *, commit: bool) -> None:
        definition: Any = self.publishing.tq.registry.find("effect")
        options: dict[str, Any] = {"queue": choose.choice(QUEUES), "priority": choose.choice(PRIORITIES)}
        if choose.random() < 0.2:
            options["delay"] = choose.choice([0.3, 1, 3])
        calls = [definition.using(**options).prepare(number) for number in numbers]
        with Session(self.engine) as session:
            self.publishing.tq.enqueue_many(calls, session=session)
            if commit:
                session.commit()

    def effects(self) -> Counter[int]:
        """Return how often each job's effect is there."""
        with self.engine.connect() as connection:
            return Counter(connection.execute(text("SELECT number FROM effects")).scalars())


@pytest.fixture
def site(tmp_path: Path, postgres_url: str, rabbitmq_server: str) -> Iterator[Divided]:
    """Make such a site on PostgreSQL and RabbitMQ."""
    made = Divided(tmp_path, postgres_url, rabbitmq_server)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE + 100)
def test_each_effect_is_there_once_whatever_the_broker_does(site: Divided, rabbitmq_server: str) -> None:
    """Its messages are dropped, doubled, delayed, reordered, broken up, corrupted, forged and purged."""
    hostile = HostileBroker(rabbitmq_server, site.source, site.target, QUEUES, SEED)
    with hostile.running(), ExitStack() as stack:
        stack.enter_context(site.publishing.started("deferred"))
        workers: Running = stack.enter_context(site.working.started("work", "-p", "3"))
        site.enqueue_all(JOBS, SEED)
        wait_until(lambda: is_over(site, hostile), "every job to end", patience=PATIENCE)
        assert "is no news and was acked" in workers.log
    assert site.effects() == Counter(range(JOBS))
    did = hostile.malice.counts
    print(f"seed {SEED}: {dict(did)}, {hostile.purges} purges")
    assert hostile.purges
    assert all(did[name] for name in ("dropped", "doubled", "delayed", "shattered", "corrupted", "forged"))


def is_over(site: Divided, hostile: HostileBroker) -> bool:
    """Say whether no job is left; the hostile program must have lasted until now."""
    hostile.check()
    return site.publishing.tq.jobs.count() == 0
