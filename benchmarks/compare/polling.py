"""Measures polling against push where polling is known to suffer: an old snapshot, urgent jobs for later."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import NullPool, create_engine, text

from benchmarks.compare.draining import drain_filled, fill
from benchmarks.compare.scenario import Case, Measured
from benchmarks.compare.servers import Place
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.trial import Trial

__all__ = ["SNAPSHOT", "URGENT", "measure_polling"]

SNAPSHOT, URGENT = "an old snapshot is held", "urgent jobs for tomorrow"


def measure_polling(trial: Trial, case: Case, sizes: Sizes) -> Measured:
    """Drain with an obstacle in the database."""
    jobs = min(sizes.jobs, trial.contender.most_jobs)
    with ExitStack() as stack:
        if case.obstacle == URGENT:
            trial.ask("hold", sizes.urgent, "urgent")
        fill(trial, jobs, case.fill, sizes.filling)
        if case.obstacle == SNAPSHOT:
            stack.enter_context(old_snapshot(trial.place))
        return drain_filled(trial, case.processes, jobs)


@contextmanager
def old_snapshot(place: Place) -> Iterator[None]:
    """Keep a transaction open that still sees everything, as a long report or a backup does."""
    postgres = place.addresses.get("POSTGRES_SQLALCHEMY_URL")
    url = postgres or place.addresses["MARIADB_SQLALCHEMY_URL"]
    begin = "SELECT txid_current_snapshot()" if postgres else "START TRANSACTION WITH CONSISTENT SNAPSHOT"
    engine = create_engine(url, poolclass=NullPool, isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        connection.execute(text(begin))
        yield
