"""What the acceptance tests over RabbitMQ share: more jobs for the site, and looking at what they wrote."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tests.acceptance.site import PATIENCE, Site

MORE = """
@tq.job(name="flaky", backoff=0.5)
def flaky(ctx: JobContext, text: str):
    write(f"{text} attempt={ctx.attempt} at={time.time():.6f}")
    if ctx.attempt < 3:
        raise ValueError("not yet")

@tq.job(name="timed")
def timed(text: str):
    write(f"{text} at={time.time():.6f}")

@tq.job(name="letter")
class Letter:
    text: str
    emails: list[str]

    def process(self):
        for email in self.emails:
            write(f"letter {self.text} {email}")

    def success(self, job):
        write(f"sent {self.text}")

ledger = os.open(OUT.with_name("ledger"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

@tq.job(name="count")
def count(number: int):
    os.write(ledger, b"%d %d\\n" % (number, os.getpid()))
"""
NEWCOMER = """
@tq.job(name="newcomer")
def newcomer():
    write(f"newcomer pid={os.getpid()}")
"""


class Letter:
    """Stand for the job of this name: only its fields count here."""

    text: str
    emails: list[str]

    def process(self) -> None:
        """Do nothing here."""


def flaky(text: str) -> None:
    """Stand for the job of this name."""


def timed(text: str) -> None:
    """Stand for the job of this name."""


def counted(number: int) -> None:
    """Stand for the job that is called count."""


def newcomer() -> None:
    """Stand for the job that old workers do not know."""


def declare(site: Site) -> None:
    """Tell the site's enqueueing side of these jobs."""
    site.tq.job(name="letter")(Letter)
    site.tq.job(name="flaky")(flaky)
    site.tq.job(name="timed")(timed)
    site.tq.job(name="count")(counted)
    site.tq.job(name="newcomer")(newcomer)


def first_words(lines: list[str]) -> list[str]:
    """Return what each line begins with."""
    return [line.split()[0] for line in lines]


def moment(line: str) -> float:
    """Return when a job wrote its line, by the clock of this machine."""
    return float(line.partition("at=")[2])


class Load:
    """Jobs that are enqueued all the time, one by one."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.enqueued = 0

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Enqueue until the block ends."""
        self._thread.start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Enqueue no more."""
        self._stopping.set()
        self._thread.join(PATIENCE)

    def more(self, number: int) -> None:
        """Wait until so many more jobs have run."""
        self._site.wait_for_lines(len(self._site.lines("load")) + number, "load")

    def each_ran_once(self) -> None:
        """Wait for the rest; check that no job was lost and none ran twice."""
        self._site.wait_until_empty()
        ran = Counter(first_words(self._site.lines("load")))
        assert ran == Counter(f"load{number}" for number in range(self.enqueued))

    def _run(self) -> None:
        for number in count():
            if self._stopping.wait(0.01):
                return
            self._site.enqueue("note", f"load{number}")
            self.enqueued = number + 1
