"""Rules that are broken on purpose, to see that the state machine notices: each replaces one small part."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from tomqueue.daemon.registry import Registry
from tomqueue.daemon.sweep import Sweep
from tomqueue.store import rows
from tomqueue.store.base import Answer, Release
from tomqueue.store.sqlite import SqliteStore, marks
from tomqueue.worker.claims import Claims
from tomqueue.worker.doubts import Doubts
from tomqueue.worker.intake import Intake
from tomqueue.worker.lost_news import LostNews

__all__ = ["MUTATIONS", "Mutation"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A part of the system, and what stands in its place."""

    where: object
    name: str
    broken: Callable[..., Any]

    def made(self) -> AbstractContextManager[object]:
        """Break it until the block ends."""
        return patch.object(self.where, self.name, self.broken)


release, lockable = SqliteStore._release, SqliteStore._lockable


def delete_of_anybody(store: SqliteStore, link: Any, _token: int, ids: Sequence[int]) -> set[int]:
    """Delete rows whoever holds them."""
    found = link.execute(f"DELETE FROM {store.jobs} WHERE id IN ({marks(ids)}) RETURNING id", tuple(ids))
    return {row_id for (row_id,) in found}


def release_of_anybody(store: SqliteStore, link: Any, ending: Release) -> bool:
    """Let a row go whoever holds it."""
    held = link.execute(f"SELECT claim_token FROM {store.jobs} WHERE id = ?", (ending.id,)).fetchone()
    token = held[0] if held and held[0] is not None else ending.token
    return release(store, link, replace(ending, token=token))


def finish_of_anybody(connection: Any, jobs: Any, ending: Any, _now: Any) -> bool:
    """Finish the row of an atomic job whoever holds it."""
    connection.execute(jobs.delete().where(jobs.c.id == ending.id))
    return True


def lockable_but(answer: Answer) -> Callable[..., Mapping[int, Answer | None]]:
    """Return a claim by key that does not mind one of the answers."""

    def broken(store: SqliteStore, link: Any, ids: Sequence[int]) -> Mapping[int, Answer | None]:
        answers = lockable(store, link, ids)
        return {row_id: None if said is answer else said for row_id, said in answers.items()}

    return broken


def nothing(*_arguments: object) -> None:
    """Do nothing."""


def forget_burials(registry: Registry, burial: Any) -> None:
    """Forget who died without freeing anything."""
    registry._burials.remove(burial)


def find_nothing(_lost: LostNews, _below: int, *, idle: bool = False) -> int:
    """Never look for rows whose news is over."""
    return 0


def see_nothing_more_urgent(_intake: Intake, _urgency: int) -> bool:
    """Start what was claimed ahead, whatever has arrived."""
    return False


MUTATIONS: Mapping[str, Mutation] = {
    "a worker that lost its claim deletes the row": Mutation(SqliteStore, "_delete", delete_of_anybody),
    "a worker that lost its claim lets the row go": Mutation(SqliteStore, "_release", release_of_anybody),
    "an atomic job commits although its claim was lost": Mutation(rows, "finish", finish_of_anybody),
    "a running row is claimed": Mutation(SqliteStore, "_lockable", lockable_but(Answer.LEASED)),
    "a row is claimed before its time": Mutation(SqliteStore, "_lockable", lockable_but(Answer.NOT_DUE)),
    "lost hosts are never found": Mutation(Sweep, "_take_over", nothing),
    "the jobs of dead children are not freed": Mutation(Registry, "_bury", forget_burials),
    "a worker does not ask for its lease": Mutation(Claims, "_check_lease", nothing),
    "lost news is never looked for": Mutation(LostNews, "take", find_nothing),
    "work claimed ahead goes before urgent news": Mutation(Intake, "_may_find_more_urgent", see_nothing_more_urgent),
    "a claim whose commit is in doubt stays": Mutation(Doubts, "resolve", nothing),
}
QUICK: Iterable[str] = tuple(MUTATIONS)[:1] + tuple(MUTATIONS)[2:4]
