"""``after_commit``: what waits for a COMMIT, and when it is dropped. On databases in memory."""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, StaticPool, create_engine

from tomqueue import configure_sqlite
from tomqueue.store.commit import after_commit


def engine_of(**options: Any) -> Engine:
    """Return an Engine of one connection, whose database is in memory."""
    engine = create_engine("sqlite://", poolclass=StaticPool, **options)
    configure_sqlite(engine)
    return engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Give an Engine."""
    made = engine_of()
    yield made
    made.dispose()


@pytest.fixture
def told() -> list[str]:
    """Give what callbacks have said so far."""
    return []


@pytest.fixture
def tell(told: list[str]) -> Callable[[Connection, str], None]:
    """Give a function that lets a word be said after the commit of a connection."""
    return lambda connection, word: after_commit(connection, lambda: told.append(word))


Tell = Callable[[Connection, str], None]


def test_it_waits_for_the_commit(engine: Engine, told: list[str], tell: Tell) -> None:
    """What waits is called once, in its order, after COMMIT; a rollback drops it."""
    with engine.connect() as connection:
        for word, ends in (("a", connection.rollback), ("b", connection.commit), ("c", connection.commit)):
            connection.exec_driver_sql("SELECT 1")
            tell(connection, word)
            tell(connection, word * 2)
            ends()
    assert told == ["b", "bb", "c", "cc"]


def test_a_commit_has_happened_when_it_is_called(engine: Engine, told: list[str]) -> None:
    """The callback finds the driver's transaction over."""
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        after_commit(connection, lambda: told.append(f"in transaction: {driver.in_transaction}"))
        assert driver.in_transaction
    assert told == ["in transaction: False"]


def test_the_engine_is_wrapped_once(engine: Engine, told: list[str], tell: Tell) -> None:
    """However often something waits, each end of a transaction passes one wrapper, under its own name."""
    with engine.begin() as connection:
        tell(connection, "a")
    first = engine.dialect.do_commit
    with engine.execution_options(logging_token="same dialect").begin() as connection:
        tell(connection, "b")
    assert engine.dialect.do_commit is first
    assert first.__name__ == "do_commit"
    assert told == ["a", "b"]


def test_another_engine_is_left_alone(engine: Engine, tell: Tell) -> None:
    """No class is changed: an Engine that never enqueues stays as it is."""
    with engine.begin() as connection:
        tell(connection, "a")
    assert "do_commit" in vars(engine.dialect)
    assert "do_commit" not in vars(create_engine("sqlite://").dialect)


def test_a_callback_that_fails_harms_nobody(
    engine: Engine, told: list[str], tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is logged, the others are called, the commit stands."""

    def fail() -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, logger="tomqueue"), engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (id INTEGER)")
        tell(connection, "before")
        after_commit(connection, fail)
        tell(connection, "after")
    assert told == ["before", "after"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar() == 0


def test_autocommit_is_at_once(told: list[str], tell: Tell) -> None:
    """Without a transaction there is nothing to wait for."""
    engine = engine_of(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        tell(connection, "a")
        assert told == ["a"]
    engine.dispose()
    assert told == ["a"]


def test_a_dialect_that_cannot_say_whether_it_is_in_autocommit(
    engine: Engine, told: list[str], tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLAlchemy before 2.0.43: what waits is called by the next commit."""
    monkeypatch.setattr(engine.dialect, "detect_autocommit_setting", None)
    with engine.begin() as connection:
        tell(connection, "a")
        assert told == []
    assert told == ["a"]


@pytest.mark.parametrize("reset", ["rollback", None, "commit"])
def test_a_connection_that_is_given_back_open(told: list[str], tell: Tell, reset: Any) -> None:
    """SQLAlchemy rolls an open transaction back when its Connection is closed, however the pool resets."""
    engine = engine_of(pool_reset_on_return=reset)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        tell(connection, "lost")
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert told == []
    engine.dispose()


def test_a_connection_that_is_forgotten(tell: Tell, told: list[str]) -> None:
    """A Connection that is garbage takes what waited with it."""
    engine = engine_of()
    connection = engine.connect()
    connection.exec_driver_sql("SELECT 1")
    tell(connection, "lost")
    del connection
    gc.collect()
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert told == []
    engine.dispose()


def test_a_detached_connection(engine: Engine, told: list[str], tell: Tell) -> None:
    """A Connection that left its pool in the middle of a transaction still says when it committed."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        tell(connection, "a")
        connection.detach()
        tell(connection, "b")
        connection.commit()
        assert told == ["a", "b"]


def test_savepoints_in_savepoints(engine: Engine, told: list[str], tell: Tell) -> None:
    """A savepoint that is taken back drops what came since, released savepoints inside it too."""
    with engine.begin() as connection:
        tell(connection, "kept")
        with suppress(ZeroDivisionError), connection.begin_nested():
            tell(connection, "outer")
            with connection.begin_nested():
                tell(connection, "inner")
            raise ZeroDivisionError
        with connection.begin_nested():
            tell(connection, "later")
        assert told == []
    assert told == ["kept", "later"]


def test_a_savepoint_that_was_open_before(engine: Engine, told: list[str], tell: Tell) -> None:
    """The first callback of a transaction is lost with any savepoint around it."""
    with engine.begin() as connection:
        outer = connection.begin_nested()
        with connection.begin_nested():
            tell(connection, "lost")
        outer.rollback()
        tell(connection, "kept")
    assert told == ["kept"]
