"""A connection of psycopg's: how statements are run by it, and what is asked of it beside them."""

import select
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from tomqueue.store.links import keep_alive

__all__ = ["Link", "array", "has_news", "rows", "run", "watch_over"]

Link = psycopg.Connection[tuple[Any, ...]]


def watch_over(link: Link, _record: object) -> None:
    """Notice a server that is gone without a word, on every connection of ours: also that which renews leases."""
    keep_alive(link.fileno())


def run(link: Link, statement: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a statement, prepared by the server at its first use in this session."""
    return link.execute(statement.encode(), parameters, prepare=True, binary=True)


def has_news(link: Link) -> bool:
    """Say whether the server has sent something unasked, as it does when it ends a session."""
    poll = select.poll()
    poll.register(link.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def array(ids: Iterable[int]) -> str:
    """Return ids as PostgreSQL writes an array; psycopg would look at each of them three times."""
    return "{" + ",".join(map(str, ids)) + "}"


def rows(link: Link, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Run a statement and return its rows."""
    return run(link, statement, parameters).fetchall()
