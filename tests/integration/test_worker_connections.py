"""How many connections a worker holds: databases count them."""

from sqlalchemy import NullPool, create_engine, func, select, table, text

from tests.harness import happens, store_of, working
from tomqueue import TomQueue
from tomqueue.store.migrate import migrate


def test_an_idle_worker_holds_two_connections(postgres_url: str) -> None:
    """One for its slot and one for its keeper; what it needed to start or to count is closed again."""
    tq = TomQueue(postgres_url, heartbeat=0.1, lease=10)
    bare = tq.bare_store()
    migrate(bare.engine, bare.tables)
    bare.close()
    engine = create_engine(postgres_url, poolclass=NullPool)
    activity = select(func.count()).select_from(table("pg_stat_activity"))
    others = activity.where(text("datname = current_database() AND pid <> pg_backend_pid()"))

    @tq.job
    def quick() -> None: ...

    def sessions() -> int:
        with engine.connect() as connection:
            return connection.execute(others).scalar_one()

    quick.enqueue()
    ours = len(store_of(tq)._links._open)
    with working(tq.tools()):
        assert happens(lambda: not tq.jobs.list())
        assert happens(lambda: sessions() == ours + 2)
    tq.close()
