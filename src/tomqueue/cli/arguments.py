"""A job's arguments as the command shows them: what may be shown, as JSON or for a person to read."""

from typing import Any

import click
import msgspec

from tomqueue.disclosure import Disclosure, Stored

__all__ = ["pretty", "reveal_option", "shown_arguments"]

SHORT = 60
"""Arguments of so many characters are shown on one line."""

reveal_option = click.option(
    "--show-arguments", "reveal", is_flag=True,
    help="Decrypt, and show also the arguments of jobs that are not declared here. Redacted fields stay hidden.",
)  # fmt: skip


def shown_arguments(job: Stored, disclosure: Disclosure, *, reveal: bool = False) -> Any:
    """Return what may be shown, for JSON; what is shown whole is as it is stored, as text where it is no JSON."""
    shown = disclosure.arguments(job, reveal=reveal)
    return msgspec.Raw(job.payload.encode()) if shown is not job.payload and disclosure.is_whole(job) else shown


def pretty(arguments: Any) -> str:
    """Return arguments for a person to read."""
    if isinstance(arguments, str):
        return arguments
    stored = msgspec.json.encode(arguments).decode()
    text: str = msgspec.json.format(stored, indent=0)
    long: str = msgspec.json.format(stored)
    return text if len(text) <= SHORT else long
