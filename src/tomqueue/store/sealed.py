"""Encrypted payloads as rows: which keys they need, and how they get another one."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, literal_column, not_, or_, select, update

from tomqueue.errors import UnknownKey, UnreadableArguments
from tomqueue.payload import Keyring
from tomqueue.redaction import SEALED
from tomqueue.store.parked import parked
from tomqueue.store.sql import SqlStore

__all__ = ["Reencrypted", "Sealed"]

PIECE = 50
"""Rows that are read and written at once; a payload may have a megabyte."""
KEY_ID = 8
"""Characters of a key's id."""


class Reencrypted(NamedTuple):
    """What was encrypted anew, and what could not be."""

    jobs: int
    """How many rows have the first key now that had another, or none."""
    running: int
    """How many rows have another still because a worker has them: they take it along if they are tried again."""
    unknown_keys: Mapping[str, int]
    """How many rows have a key that is not here, by its id."""
    unreadable: int
    """How many rows cannot be decrypted although their key is here: they were changed."""


class Change(NamedTuple):
    """A row whose payload becomes another."""

    id: int
    before: str
    after: str


class Sealed:
    """The rows whose payloads are encrypted."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._jobs = store.tables.jobs

    def keys(self) -> dict[str, int]:
        """Count the rows under each key, by its id. Reads every row."""
        return self._counted(self._is_sealed())

    def parked_keys(self) -> dict[str, int]:
        """Count the parked rows under each key, by its id: what no worker so far could read is among them."""
        return self._counted(and_(parked(self._jobs, self._store.now()), self._is_sealed()))

    def _counted(self, condition: ColumnElement[bool]) -> dict[str, int]:
        # literals, because grouping by a parameter is not grouping by the same for PostgreSQL
        start: ColumnElement[int] = literal_column(str(len(SEALED) + 1))
        length: ColumnElement[int] = literal_column(str(KEY_ID))
        key = func.substr(self._jobs.c.payload, start, length)
        with self._store.reading() as connection:
            found = connection.execute(select(key, func.count()).where(condition).group_by(key))
            return {str(key_id): count for key_id, count in found}

    def reencrypt(self, keyring: Keyring, names: Collection[str]) -> Reencrypted:
        """Give the first key to every row that does not run, in pieces; workers may run meanwhile.

        Rows of the jobs called ``names`` are encrypted that are not yet. What was changed is announced anew: its
        checksum is another. Raises SettingsError without a key.
        """
        keyring.check()
        stale, jobs, running, unreadable, unknown = self._stale(keyring, names), 0, 0, 0, Counter[str]()
        for piece in self._pieces(stale):
            changes = []
            for job_id, name, payload, is_locked in piece:
                try:
                    plain = keyring.open(name, payload)
                except UnknownKey:
                    unknown[payload[len(SEALED) :][:KEY_ID]] += 1
                except UnreadableArguments:
                    unreadable += 1
                else:
                    running += is_locked
                    changes.extend([] if is_locked else [Change(job_id, payload, keyring.seal(name, plain))])
            changed = self._change(changes)
            jobs, running = jobs + changed, running + len(changes) - changed
        return Reencrypted(jobs, running, unknown, unreadable)

    def _pieces(self, condition: ColumnElement[bool]) -> Iterator[Sequence[tuple[int, str, str, bool]]]:
        """Read the rows that are meant, each with whether a worker has it, in the order of their ids."""
        jobs = self._jobs.c
        columns = select(jobs.id, jobs.name, jobs.payload, jobs.locked_by.is_not(None))
        after = 0
        while True:
            with self._store.reading() as connection:
                wanted = columns.where(jobs.id > after, condition).order_by(jobs.id).limit(PIECE)
                piece = [(key, name, payload, bool(has)) for key, name, payload, has in connection.execute(wanted)]
            if not piece:
                return
            yield piece
            after = piece[-1][0]

    def _change(self, changes: Sequence[Change]) -> int:
        """Write payloads of rows that are as they were read and that nobody has claimed since; return how many."""
        if not changes:
            return 0
        now = self._store.now()
        return self._store.write(lambda connection: sum(self._changed(connection, one, now) for one in changes))

    def _changed(self, connection: Connection, change: Change, now: datetime) -> int:
        jobs = self._jobs
        same = and_(jobs.c.id == change.id, jobs.c.locked_by.is_(None), jobs.c.payload == change.before)
        new = {"payload": change.after, "announced_at": None, "updated_at": now}
        return connection.execute(update(jobs).where(same).values(new)).rowcount

    def _stale(self, keyring: Keyring, names: Collection[str]) -> ColumnElement[bool]:
        jobs = self._jobs
        other_key = and_(self._is_sealed(), not_(jobs.c.payload.startswith(f"{SEALED}{keyring.ids[0]}:")))
        return or_(other_key, and_(jobs.c.name.in_(names), not_(self._is_sealed())))

    def _is_sealed(self) -> ColumnElement[bool]:
        return self._jobs.c.payload.startswith(SEALED)
