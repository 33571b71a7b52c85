"""Connections that say goodbye to the server whenever they are freed, also in a child that only inherited them."""

import os
from typing import Any
from weakref import WeakSet

__all__ = ["leave_to_parent"]

_open: WeakSet[Any] = WeakSet()


def leave_to_parent(link: Any) -> None:
    """Let a process that forks from this one have no part in ``link``, a driver's connection with ``fileno()``.

    The memory of a child is freed at its end at the latest, and with it this copy of the connection; the goodbye that
    the driver (mysqlclient) then sends on the shared socket would end the parent's session.
    """
    _open.add(link)


def _cut_off() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for link in list(_open):
        try:
            descriptor = link.fileno()
        except Exception:  # noqa: BLE001, S112 - closed already: there is nothing to cut
            continue
        os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_cut_off)
