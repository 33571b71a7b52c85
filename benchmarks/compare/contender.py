"""What the suite knows of a contender; the rest is its program (contenders/PROGRAM/app.py)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["CONTENDERS", "Command", "Contender"]

CONTENDERS = Path(__file__).parent / "contenders"
Command = Sequence[str]
"""Words; the first is a program of the contender's environment."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One row of the tables."""

    name: str
    label: str
    """As the tables show it."""
    program: str
    """The folder of its program and its pinned requirements."""
    servers: Sequence[str]
    """Which of postgres, mariadb, rabbitmq, redis and sqlite (a file) it needs."""
    workers: Callable[[int], Sequence[Command]]
    """The commands that start so many worker processes, as its own documentation starts them."""
    about: str
    """Its settings in a sentence: what differs from the defaults, and why."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its program reads beside the addresses; `{NAME}` stands for an address."""
    queues: Sequence[str] = ()
    """What it declares in RabbitMQ."""
    limit: str | None = None
    """The contender that shows what its storage allows."""
    ours: bool = False
    """It runs in the project's own environment."""
    fills_differ: bool = False
    """Its drain depends on whether the jobs were enqueued one by one or in bulk."""
    most_jobs: int = 1_000_000
    """It is so slow that more than these would take all day; its rate is what counts."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Scenarios that it does not offer, and why."""

    @property
    def folder(self) -> Path:
        """Where its program is."""
        return CONTENDERS / self.program
