"""The slots of a worker: each turns the stack, in the calling thread or in a thread of its own."""

import signal
import threading
from collections.abc import Callable

from tomqueue.service import boot_time
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.board import Board
from tomqueue.worker.slot import Slot, interrupt_main_thread, interrupt_thread

__all__ = ["Slots", "raise_pending"]


class Slots:
    """Turns the stack in each slot until ``halt`` is set.

    ``turn`` is the stack, and says whether there was work; ``worked`` follows if so. ``opened`` is filled with slots.
    ``measured`` is told how many jobs took how many seconds, everything included, about every ``every`` seconds.
    ``uses_signals`` says whether a single slot, in the main thread, may take SIGALRM to end blocking calls.
    """

    def __init__(
        self,
        board: Board,
        turn: Callable[[Attempt], bool],
        opened: list[Slot],
        *,
        halt: threading.Event,
        worked: Callable[[], None],
        measured: Callable[[int, float], None],
        every: float,
        uses_signals: bool,
    ) -> None:
        self._opened = opened
        self._board = board
        self._turn = turn
        self._halt = halt
        self._worked = worked
        self._measured = measured
        self._every = every
        self._uses_signals = uses_signals

    def run(self, number: int, begun: Callable[[], None]) -> None:
        """Open so many slots, call ``begun``, and return when all have stopped."""
        if number == 1:
            self._run_here(begun)
        else:
            self._run_threads(number, begun)

    def _run_here(self, begun: Callable[[], None]) -> None:
        main = self._uses_signals and threading.current_thread() is threading.main_thread()
        slot = Slot(0, self._board, interrupt_main_thread if main else interrupt_thread)
        self._opened.append(slot)
        before = signal.signal(signal.SIGALRM, lambda _number, _frame: raise_pending(slot)) if main else None
        begun()
        try:
            self._serve(slot)
        finally:
            if main:
                signal.signal(signal.SIGALRM, before)

    def _run_threads(self, number: int, begun: Callable[[], None]) -> None:
        open_all = threading.Barrier(number + 1)

        def serve(index: int) -> None:
            slot = Slot(index, self._board, interrupt_thread)
            self._opened.append(slot)
            open_all.wait()
            self._serve(slot)

        threads = [
            threading.Thread(target=serve, args=(index,), name=f"tomqueue-slot-{index}", daemon=True)
            for index in range(number)
        ]
        for thread in threads:
            thread.start()
        open_all.wait()
        begun()
        for thread in threads:
            thread.join()

    def _serve(self, slot: Slot) -> None:
        """Turn the stack, measuring what a job costs here, everything included."""
        began = ended = boot_time()
        done = 0
        while not self._halt.is_set():
            worked = self._turn(Attempt(slot))
            if worked:
                ended = boot_time()
                done += 1
                self._worked()
            if not worked or ended - began > self._every:
                self._measured(done, ended - began)
                began = ended = boot_time()
                done = 0


def raise_pending(slot: Slot) -> None:
    """Raise what is pending in the job of ``slot``; the handler of SIGALRM."""
    pending = slot.take_pending()
    if pending is not None:
        raise pending
