"""The hooks of class jobs, called by name when they are there (Delayed::Job)."""

from typing import Any

__all__ = ["call_hook"]


def call_hook(target: object | None, name: str, *arguments: Any) -> None:
    """Call the method ``name`` of ``target`` with ``arguments``, if there is one."""
    hook = getattr(target, name, None)
    if hook is not None:
        hook(*arguments)
