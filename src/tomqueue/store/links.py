"""One driver connection for each thread, made when it is first needed."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine

__all__ = ["Links", "detached"]


class Links:
    """The store's own connections: one for each thread of this process.

    A connection that was opened before a fork belongs to the parent: the child opens its own.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[Any] = []
        self._pid = os.getpid()

    def get(self) -> Any:
        """Return this thread's connection."""
        if self._pid != os.getpid():
            self._forget_the_parents()
        link = getattr(self._local, "link", None)
        if link is None:
            link = self._local.link = self._connect()
            with self._lock:
                self._open.append(link)
        return link

    def drop(self) -> None:
        """Close this thread's connection; the next use opens a new one."""
        link = getattr(self._local, "link", None)
        if link is not None:
            self._local.link = None
            with self._lock:
                self._open.remove(link)
            with suppress(Exception):  # it is broken: that is why it is dropped
                link.close()

    def close(self) -> None:
        """Close the connections of every thread."""
        with self._lock:
            links, self._open = self._open, []
        self._local = threading.local()
        for link in links:
            link.close()

    def _forget_the_parents(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._inherited = self._open  # kept: closing them here would end the parent's sessions
        self._open = []
        self._pid = os.getpid()


def detached(engine: Engine) -> Any:
    """Return a DBAPI connection made by ``engine`` that its pool forgets."""
    fairy = engine.raw_connection()
    fairy.detach()
    return fairy.dbapi_connection
