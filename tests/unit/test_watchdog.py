"""The watchdog writes where a process hangs that cannot run Python code any more."""

import os
import subprocess
import sys
import tempfile

import pytest

from tomqueue.worker import watchdog
from tomqueue.worker.watchdog import Watchdog, read_dump

HANGING = """
import re, sys
from tomqueue.worker import watchdog
watchdog.FIRE_AFTER = 0.05
watchdog.Watchdog(int(sys.argv[1])).rearm()
def it_hangs_here():
    re.match("(a*)*b", "a" * 40)
it_hangs_here()
"""


def test_a_hang_inside_c_is_written_down() -> None:
    """The stacks are in the file although the GIL is held, and can be read by another process."""
    with tempfile.TemporaryFile() as file:
        command = [sys.executable, "-c", HANGING, str(file.fileno())]
        with subprocess.Popen(command, pass_fds=[file.fileno()]) as child:
            while "it_hangs_here" not in read_dump(file.fileno()):
                assert child.poll() is None
            child.kill()
        assert read_dump(file.fileno()).startswith("Timeout (")


def test_rearming_puts_it_off_and_forgets_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is well again has no dump."""
    monkeypatch.setattr(watchdog, "REARM_EVERY", 0.0)
    with tempfile.TemporaryFile() as file:
        os.write(file.fileno(), b"Timeout (old)")
        watching = Watchdog(file.fileno())
        watching.rearm()
        assert read_dump(file.fileno()) == ""
        watching.stop()


def test_only_the_last_dump_is_read() -> None:
    """However long the file has grown."""
    with tempfile.TemporaryFile() as file:
        os.write(file.fileno(), b"Timeout (1)\n" + b"x" * 50_000 + b"\nTimeout (2)\nthe end \xff")
        assert read_dump(file.fileno()) == "Timeout (2)\nthe end \ufffd"
