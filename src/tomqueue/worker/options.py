"""How one worker process works, as a command line or an application says it."""

from dataclasses import dataclass

from tomqueue.priority import PRIORITIES

__all__ = ["WorkerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How one worker process works."""

    queues: tuple[str, ...] = ()
    """Queues to serve; empty means all that are known, also those to come."""
    threads: int = 1
    """Slots. One runs its jobs in the calling thread, more run them in threads."""
    max_jobs: int | None = None
    """Stop after so many jobs."""
    max_memory: int | None = None
    """Stop between two jobs once the process has used so many bytes."""
    until_idle: bool = False
    """Stop when nothing is ready."""
    first_rank: int = PRIORITIES.start
    last_rank: int = PRIORITIES[-1]
    """The most and the least urgent priority that is served."""

    @property
    def ranks(self) -> range:
        """The priorities that are served."""
        return range(self.first_rank, self.last_rank + 1)
