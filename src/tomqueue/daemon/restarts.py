"""When the place of a child that has ended is filled again. Pure: who asks says what time it is."""

from dataclasses import dataclass

__all__ = ["GIVE_UP_AFTER", "Restarts"]

FIRST_FAILED, FIRST_AWAY, LONGEST = 0.5, 1.0, 60.0
"""Seconds: the pause after a start that failed, after one that missed the database, and the longest of both."""
LONGEST_WHILE_IT_ANSWERS = 5.0
"""The longest pause of a child that missed the database while its supervisor reaches it: it is back, or nearly."""
PAUSE = 1.0
"""Before a process that could not even be made is tried again."""
SETTLED = 30.0
"""A child that has taken jobs for so long has found its database."""
GIVE_UP_AFTER = 5
"""Starts in a row that ended before the child took jobs: the application cannot be started."""
DOUBLINGS = 16


@dataclass(slots=True)
class Restarts:
    """What is known of one place. All times are of the boot clock.

    A child that had taken jobs is replaced at once, whatever killed it. One that ends before that comes again after a
    pause that doubles with each in a row, and so does one that misses the database: each of them imports the whole
    application first. Once the database answers the supervisor, its heartbeat that is, nobody waits for long.
    """

    failures: int = 0
    """Starts in a row that ended before the child took jobs, the database being there."""
    missed: int = 0
    """Children in a row that ended because the database was away."""
    started_at: float = 0.0
    ended_at: float = 0.0
    next_start: float = 0.0

    def started(self, now: float) -> None:
        """Note that a child is being started."""
        self.started_at, self.next_start = now, now + PAUSE

    def ended(self, now: float, *, worked: bool, told: bool, missed_database: bool) -> None:
        """Note how a child has ended: whether it had taken jobs, was told to end, or missed the database."""
        if not missed_database or (worked and now - self.started_at >= SETTLED):
            self.missed = 0
        self.missed += missed_database
        self.ended_at = now
        self.failures = 0 if worked or told or missed_database else self.failures + 1
        if self.failures:
            self.next_start = now + grown(FIRST_FAILED, self.failures)
        elif self.missed:
            self.next_start = now + grown(FIRST_AWAY, self.missed)
        else:
            self.next_start = 0.0

    def may_start(self, now: float, *, database_answers: bool) -> bool:
        """Say whether the place may be filled: its pause is over, or it waits for a database that is there."""
        waited = self.missed > 0 and now >= max(self.ended_at + LONGEST_WHILE_IT_ANSWERS, self.started_at + PAUSE)
        return now >= self.next_start or (database_answers and waited)


def grown(first: float, times: int) -> float:
    """Return a pause that doubles each time."""
    return min(first * 2.0 ** min(times - 1, DOUBLINGS), LONGEST)
