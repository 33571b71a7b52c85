"""A database that is locked, read-only, full, missing or of another version: one clear error, and nothing is lost."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.small_disk import can_mount, small_disk
from tomqueue import TomQueue
from tomqueue.errors import SchemaError, SettingsError, StoreUnavailable

OpenQueue = Callable[..., TomQueue]


@pytest.fixture
def open_queue() -> Iterator[OpenQueue]:
    """Open TomQueues; they are closed afterwards."""
    opened: list[TomQueue] = []

    def opening(url: str, **settings: Any) -> TomQueue:
        opened.append(TomQueue(url, **settings))
        return opened[-1]

    yield opening
    for tq in opened:
        tq.close()


def job_of(tq: TomQueue) -> Any:
    """Declare a job that takes a text."""

    @tq.job(name="note")
    def note(text: str) -> None: ...

    return note


def test_a_locked_file_is_waited_for_and_then_named(open_queue: OpenQueue, tmp_path: Path) -> None:
    """An enqueue waits for the lock as long as the setting says; the error names the file, and a later one works."""
    tq = open_queue(f"sqlite:///{tmp_path}/jobs.db", database_timeout=0.1)
    note = job_of(tq)
    note.enqueue("first")
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"jobs\.db.*lock"):
        note.enqueue("second")
    other.execute("ROLLBACK")
    other.close()
    note.enqueue("third")
    assert [job.arguments["text"] for job in tq.jobs.list()] == ["first", "third"]


def test_a_read_only_database_is_named(open_queue: OpenQueue, tmp_path: Path) -> None:
    """An enqueue into a database that cannot be written says so; what is in it can still be looked at."""
    job_of(open_queue(f"sqlite:///{tmp_path}/jobs.db")).enqueue("first")
    tq = open_queue(f"sqlite:///file:{tmp_path}/jobs.db?mode=ro&uri=true")
    with pytest.raises(StoreUnavailable, match="read-only"):
        job_of(tq).enqueue("second")
    assert tq.jobs.count() == 1


def test_a_full_disk_is_named_and_nothing_is_lost(open_queue: OpenQueue, tmp_path: Path) -> None:
    """When the database cannot grow, an enqueue fails as a whole; when there is room again, all goes on."""
    tq = open_queue(f"sqlite:///{tmp_path}/jobs.db")
    note = job_of(tq)
    note.enqueue("first")
    link = tq.tools().store._links.get()
    pages = link.execute("PRAGMA page_count").fetchone()[0]
    link.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        tq.enqueue_many([note.prepare("x" * 1000) for _ in range(1000)])
    assert tq.jobs.count() == 1
    link.execute("PRAGMA max_page_count = 1073741823")
    tq.enqueue_many([note.prepare("x" * 1000) for _ in range(1000)])
    assert tq.jobs.count() == 1001


def fill_log(tq: TomQueue, note: Any) -> None:
    """Enqueue and delete, again and again."""
    while True:
        tq.jobs.delete(note.enqueue("x" * 10_000).id)


@pytest.mark.skipif(
    not can_mount(), reason="a small disk must be mounted, which needs root and, in a container, CAP_SYS_ADMIN"
)
def test_a_log_that_has_filled_the_disk_is_folded_in(open_queue: OpenQueue, tmp_path: Path) -> None:
    """A reader that stays lets SQLite's write-ahead log grow until the disk is full; when it is gone, all goes on."""
    (disk := tmp_path / "disk").mkdir()
    with small_disk(disk, 4):
        tq = open_queue(f"sqlite:///{disk}/jobs.db")
        note = job_of(tq)
        tq.jobs.delete(note.enqueue("x" * 100_000).id)  # so that the file itself has room
        reader = sqlite3.connect(disk / "jobs.db", isolation_level=None)
        reader.execute("PRAGMA wal_checkpoint")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tomqueue_jobs").fetchone()
        with pytest.raises(StoreUnavailable, match="full"):
            fill_log(tq, note)
        reader.close()
        note.enqueue("x" * 50_000)
        tq.close()


def test_a_missing_folder_is_named(open_queue: OpenQueue, tmp_path: Path) -> None:
    """A file in a folder that does not exist cannot be made; the error names it."""
    with pytest.raises(StoreUnavailable, match=r"nowhere/jobs\.db"):
        job_of(open_queue(f"sqlite:///{tmp_path}/nowhere/jobs.db")).enqueue("first")


def test_a_newer_schema_is_refused(open_queue: OpenQueue, tmp_path: Path) -> None:
    """Tables made by a newer version are not touched; the error says to install it."""
    tq = open_queue(f"sqlite:///{tmp_path}/jobs.db")
    job_of(tq).enqueue("first")
    tq.close()
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        connection.execute("UPDATE tomqueue_schema SET version = 99")
    connection.close()
    with pytest.raises(SchemaError, match=r"99.*install the newer TomQueue"):
        job_of(open_queue(f"sqlite:///{tmp_path}/jobs.db")).enqueue("second")


def test_a_server_without_tables_says_how_to_make_them(open_queue: OpenQueue, postgres_url: str) -> None:
    """On a server nothing is created by surprise."""
    with pytest.raises(SchemaError, match="run `tomqueue migrate`"):
        job_of(open_queue(postgres_url)).enqueue("first")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "no database"),
        ("jobs.db", "no database URL"),
        ("oracle://scott:tiger@host/db", "not supported"),
        ("sqlite://", "in memory"),
        ("postgresql+nodriver://host/db", "nodriver"),
    ],
)
def test_a_wrong_url_says_what_one_looks_like(open_queue: OpenQueue, url: str, complaint: str) -> None:
    """Each kind of wrong URL has its own sentence, and a password is never in it."""
    with pytest.raises(SettingsError, match=complaint) as caught:
        job_of(open_queue(url)).enqueue("first")
    assert "tiger" not in str(caught.value)
