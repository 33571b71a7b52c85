"""How much work a run does."""

from dataclasses import dataclass

__all__ = ["Sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of jobs."""

    jobs: int = 100_000
    """Of a drain."""
    singles: int = 2_000
    """Enqueued one by one."""
    stamps: int = 300
    """Whose latency is measured."""
    held: int = 100_000
    """Future jobs that wait meanwhile."""
    urgent: int = 200_000
    """Future jobs of higher priority, before polling workers' eyes."""
    backlogs: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    first: int = 20_000
    """Of a backlog, that are timed."""
    cases: str = ""
    """Only the cases whose label contains one of these, with commas between; empty: all."""
    filling: float = 180.0
    """Seconds that filling a backlog may take; what would take longer is left out, and says so."""
