"""Which goes first: a claimed row or a message of another program. The more urgent; of the same rank, in turn."""

from tomqueue.worker.attempt import Work
from tomqueue.worker.claims import Claims
from tomqueue.worker.messages import Handling, Messages

__all__ = ["Turns"]


class Turns:
    """Starts the most urgent of what waits in this process."""

    def __init__(self, claims: Claims, messages: Messages) -> None:
        self._claims = claims
        self._messages = messages
        self._was_message = False

    def urgency(self) -> int | None:
        """Return the rank below which something else goes first; None when nothing waits."""
        job, message = self._claims.most_urgent(), self._below()
        if job is None or message is None:
            return message if job is None else job
        return min(job, message)

    def start(self) -> Work | Handling | None:
        """Take what goes first; the claims' ``ended_turn`` follows when it has ended."""
        handling = self._start_message()
        if handling is not None:
            self._was_message = True
            return handling
        work = self._claims.start()
        if work is not None:
            self._was_message = False
        return work

    def _below(self) -> int | None:
        """Return the rank below which a job goes before the messages; None when none waits."""
        rank = self._messages.most_urgent()
        return None if rank is None else rank + self._was_message

    def _start_message(self) -> Handling | None:
        below, job = self._below(), self._claims.most_urgent()
        if below is None or (job is not None and job < below) or not self._claims.may_start_other():
            return None
        handling = self._messages.take()
        if handling is None:  # another slot has it
            self._claims.ended_turn()
        return handling
