"""What a producer is told to enqueue."""

import msgspec

__all__ = ["Load"]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one producer enqueues. Times are in seconds."""

    name: str
    """Start of its keys."""
    seed: int
    jobs: int = 10**12
    """It stops when it has tried so many, or a few more; or at SIGTERM."""
    warm: bool = True
    """Whether its first job must have started before it goes on: else there is a backlog when the workers come."""
    pause: float = 0.025
    """Between two transactions."""
    seconds: float = 0.0
    """What a usual job takes."""
    long_every: int = 0
    """Every so many jobs, one takes ``long`` seconds; 0 is never."""
    long: float = 0.4
    delayed: float = 0.1
    """Share of the jobs that are for later, at most ``latest`` seconds."""
    latest: float = 1.0
    padding: int = 0
    """Characters that each job brings along, so that its row needs room."""
