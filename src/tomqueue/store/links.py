"""One driver connection for each thread, made when it is first needed."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Engine

__all__ = ["Links", "closed_on_error", "detached", "keep_alive"]


class Links:
    """The store's own connections: one for each thread of this process.

    A connection that was opened before a fork belongs to the parent: the child opens its own.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[threading.Thread, Any]] = []
        self._pid = os.getpid()

    def get(self) -> Any:
        """Return this thread's connection."""
        if self._pid != os.getpid():
            self._forget_the_parents()
        link = getattr(self._local, "link", None)
        if link is None:
            self._close_of_ended_threads()
            link = self._local.link = self._connect()
            with self._lock:
                self._open.append((threading.current_thread(), link))
        return link

    def _close_of_ended_threads(self) -> None:
        """Close the connections of threads that are gone: a server may start one for each request."""
        with self._lock:
            gone = [link for thread, link in self._open if not thread.is_alive()]
            self._open = [(thread, link) for thread, link in self._open if thread.is_alive()]
        for link in gone:
            with suppress(Exception):
                link.close()

    def drop(self) -> None:
        """Close this thread's connection; the next use opens a new one."""
        link = getattr(self._local, "link", None)
        if link is not None:
            self._local.link = None
            with self._lock:
                self._open = [(thread, one) for thread, one in self._open if one is not link]
            with suppress(Exception):  # it is broken: that is why it is dropped
                link.close()

    def close(self) -> None:
        """Close the connections of every thread."""
        if self._pid != os.getpid():
            self._forget_the_parents()
        with self._lock:
            links, self._open = self._open, []
        self._local = threading.local()
        for _, link in links:
            link.close()

    def _forget_the_parents(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._inherited = self._open  # kept: closing them here would end the parent's sessions
        self._open = []
        self._pid = os.getpid()


def detached(engine: Engine) -> Any:
    """Return a new DBAPI connection, made and prepared as those of ``engine``, that no pool knows.

    It comes from a pool of its own: the Engine's may be used up by the very transaction that enqueues, or hold
    just one connection for everybody.
    """
    fairy = engine.pool.recreate().connect()
    fairy.detach()
    return fairy.dbapi_connection


@contextmanager
def closed_on_error(link: Any) -> Iterator[None]:
    """Close a connection that could not be made ready for use."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # why it could not be made ready says more
            link.close()
        raise


TCP_OPTIONS = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPALIVE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 2,
    "TCP_USER_TIMEOUT": 20_000,
}
"""A peer that is gone without a word is noticed within 20 s (macOS calls the first option by the second name)."""


def keep_alive(descriptor: int) -> None:
    """Let the kernel notice a server that is gone without a word; a Unix socket needs no such care."""
    blocking = os.get_blocking(descriptor)  # a default time-out of Python's sockets would change it
    with socket.socket(fileno=os.dup(descriptor)) as peer:
        if peer.family in {socket.AF_INET, socket.AF_INET6}:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in TCP_OPTIONS.items():
                if option := getattr(socket, name, None):
                    peer.setsockopt(socket.IPPROTO_TCP, option, value)
    os.set_blocking(descriptor, blocking)
