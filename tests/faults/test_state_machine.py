"""Every promise about rows, against arbitrary orders of everything that can happen to them.

Hypothesis plays the faults: it drops, doubles, delays and reorders news, kills and freezes processes between any two
steps, loses hosts, lets leases expire. What is under test is real: the store on an SQLite file, the enqueue stack,
the workers with their stack, the supervisors' heartbeat, registry and sweep, the deferred processes. Only time and
the broker's wire are the test's (``tests/faults/machine``). After each history the faults stop, and within a bounded
number of ordinary rounds every committed job must have ended.

It can fail: ``test_state_machine_finds.py`` breaks rules of the system (``mutations.py``) and each is found.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.faults.machine.process import Command, Process
from tests.faults.machine.store import Breaks
from tests.faults.machine.world import QUEUES, World
from tests.faults.profile import FULL
from tomqueue.errors import JobStateError, PublishError
from tomqueue.transport.base import Notification

T = TypeVar("T")
pick = st.integers(0, 30)
queues = st.sampled_from(QUEUES)
priorities = st.sampled_from(["high", "normal", "low", "bulk"])
ENDS = [*Command, Command.SUCCEED, Command.SUCCEED, Command.SUCCEED]
MOST_HOSTS, MOST_PROCESSES = 4, 6


class Jobs(RuleBasedStateMachine):
    """Rows, their news and their owners."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def teardown(self) -> None:
        try:
            self.world.calm()
        finally:
            self.world.close()

    @initialize(priority=priorities)
    def begin(self, priority: str) -> None:
        for queue in QUEUES:
            self.enqueue(name="work", queue=queue, priority=priority, delay=None, commit=True, number=2, arrives=True)
        for slots in (1, 2):
            host = self.world.start_host()
            for _ in range(2):
                self.world.start_process(host, slots=slots)

    @invariant()
    def nothing_is_lost_or_taken(self) -> None:
        self.world.check()

    # Enqueueing, and the news -------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(["work", "work", "atomic", "newcomer"]), queue=queues, priority=priorities,
        delay=st.sampled_from([None, None, 0.5, 20.0]), commit=st.sampled_from([True, True, True, False]),
        number=st.integers(1, 5), arrives=st.booleans(),
    )  # fmt: skip
    def enqueue(
        self, *, name: str, queue: str, priority: str, delay: float | None, commit: bool, number: int, arrives: bool
    ) -> None:
        for _ in range(number):
            self.world.enqueue(name, queue=queue, priority=priority, delay=delay, commit=commit)
        if arrives:
            self.world.broker.deliver()

    @rule(what=st.sampled_from(["all", "all", "one", "dropped", "doubled", "republished", "purged"]), place=pick)
    def news(self, what: str, place: int) -> None:
        """Let news arrive, all in order or one that overtakes others; or be lost, or come again."""
        broker = self.world.broker
        if what == "purged":
            broker.purge()
        elif what == "republished":
            self.world.republish()
        elif what == "all":
            broker.deliver()
        elif broker.under_way:
            broker.tamper(what, place % len(broker.under_way))

    @rule(job=pick, queue=queues, rank=st.integers(0, 3), age=st.sampled_from([-60.0, 0.0, 1.0, 60.0]))
    def news_is_forged(self, job: int, queue: str, rank: int, age: float) -> None:
        self.world.broker.under_way.append(Notification(job + 1, queue, rank, self.world.ago(age), "v1:forged"))

    @rule(which=pick, what=st.sampled_from(["away or back", "lost", "lost and forgotten"]))
    def broker_fails(self, which: int, what: str) -> None:
        """Let it go away, or come back; or lose one channel, and maybe what was just put back there."""
        processes = self.processes()
        if what == "away or back":
            self.world.turn_broker()
        else:
            processes = processes[which % 4 :][:1]
        for process in processes:
            process.consumer.lose_channel(forget=what == "lost and forgotten")

    # Working ------------------------------------------------------------------------------------------

    @rule(which=pick, jobs=st.integers(1, 3))
    def process_takes_work(self, which: int, jobs: int) -> None:
        if process := chosen(self.processes(), which):
            while jobs and self.world.turn(process):
                jobs -= 1

    @rule(which=pick, command=st.sampled_from(ENDS))
    def job_goes_on(self, which: int, command: Command) -> None:
        if process := chosen([one for one in self.processes() if one.running()], which):
            self.world.command(process, process.busy_slots()[0], command)

    @rule(which=pick, jobs=st.integers(1, 6))
    def process_works(self, which: int, jobs: int) -> None:
        """Run some jobs one after the other, so that batches grow and work is claimed ahead."""
        if process := chosen(self.processes(), which):
            self.work_on(process, jobs)

    def work_on(self, process: Process, jobs: int) -> None:
        for _ in range(jobs):
            for index in process.busy_slots():
                self.world.command(process, index, Command.SUCCEED)
            self.world.turn(process)

    @rule(which=pick, what=st.sampled_from(["keep", "keep", "let_go", "drain", "crash", "crash"]))
    def process_does(self, which: int, what: str) -> None:
        """Let it keep house, give back what it claimed ahead, drain and end, or be killed."""
        if process := chosen(self.processes(), which):
            getattr(process, what)()
            if what == "drain":
                process.close()

    @rule(which=pick, slots=st.integers(1, 2), old=st.booleans())
    def process_starts(self, which: int, slots: int, old: bool) -> None:
        host = chosen(self.world.running_hosts(), which)
        if host and len(self.processes()) < MOST_PROCESSES:
            self.world.start_process(host, slots=slots, old=old)

    @rule(breaks=st.sampled_from(Breaks), which=pick)
    def connection_breaks_while_a_process_commits(self, breaks: Breaks, which: int) -> None:
        if process := chosen(self.processes(), which):
            self.world.store.breaks = breaks
            self.world.turn(process)
            process.keep()
            self.world.store.breaks = None

    # Hosts and time -----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.3, 1.0, 3.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(which=pick, what=st.sampled_from(["errands", "look", "announce", "announce"]))
    def host_does(self, which: int, what: str) -> None:
        """Let its supervisor see to births and deaths, its sweep look, or its deferred process announce."""
        if host := chosen(self.world.running_hosts(), which):
            getattr(host, what)()

    @rule(which=pick, what=st.sampled_from(["freeze", "lose"]))
    def host_fails(self, which: int, what: str) -> None:
        running = self.world.running_hosts()
        if len(running) > 1:
            getattr(chosen(running, which), what)()

    @rule(which=pick)
    def host_oversleeps(self, which: int) -> None:
        """Let it stand still past its lease in the middle of its work, and wake when others have that."""
        running = self.world.running_hosts()
        if len(running) < MOST_HOSTS // 2:
            return
        self.enqueue(name="work", queue=QUEUES[0], priority="normal", delay=None, commit=True, number=6, arrives=True)
        host = running[which % len(running)]
        for process in host.living()[:1]:
            self.work_on(process, 4)
        host.freeze()
        self.leases_run_out(wakes=True)

    @rule(which=pick)
    def host_thaws(self, which: int) -> None:
        if host := chosen([one for one in self.world.hosts if one.is_frozen], which):
            host.thaw()

    @precondition(lambda self: not all(host.runs for host in self.world.hosts))
    @rule(wakes=st.booleans())
    def leases_run_out(self, wakes: bool) -> None:
        """Wait until whoever is gone has lost its lease; the others take over; then those that were frozen wake."""
        self.world.pass_time(45.0)
        for host in self.world.running_hosts():
            host.look()
            host.errands()
        self.process_works(0, 2)
        self.stale_owners_defy()
        for host in [one for one in self.world.hosts if one.is_frozen and wakes]:
            host.thaw()
            self.world.wake(host)

    @precondition(lambda self: len(self.world.running_hosts()) < MOST_HOSTS)
    @rule(slots=st.integers(1, 2))
    def host_starts(self, slots: int) -> None:
        self.world.start_process(self.world.start_host(), slots=slots)

    # Those who may change nothing, and those who may ------------------------------------------------

    @rule()
    def stale_owners_defy(self) -> None:
        """Whoever lost a claim on a row that is still there tries all that an owner may do."""
        for claim in self.world.ledger.stale_claims():
            self.world.defy(*claim)

    @rule(which=pick, queue=queues, rank=st.integers(0, 3), again=st.booleans())
    def job_is_moved(self, which: int, queue: str, rank: int, again: bool) -> None:
        """By SQL that has it announced again, as it should, or that does not."""
        if row := chosen(self.world.ledger.rows(), which):
            self.world.change(row.id, queue=queue, priority=rank, **({"announced_at": None} if again else {}))

    @rule(which=pick, seconds=st.sampled_from([-5.0, 0.5, 30.0]))
    def job_is_put_off(self, which: int, seconds: float) -> None:
        if row := chosen(self.world.ledger.rows(), which):
            self.world.put_off(row.id, seconds)

    @rule(which=pick, what=st.sampled_from(["cancel", "retry", "publish", "delete"]))
    def person_acts(self, which: int, what: str) -> None:
        if row := chosen(self.world.ledger.rows(), which):
            with suppress(JobStateError, PublishError):  # it runs, or the broker is away
                self.world.act(row.id, what)

    def processes(self) -> list[Process]:
        return self.world.processes()


def chosen(those: Sequence[T], which: int) -> T | None:
    """Return one of them; None when there is none."""
    return those[which % len(those)] if those else None


EXAMPLES, STEPS = (1000, 100) if FULL else (40, 60)

TestJobs = pytest.mark.timeout(3600 if FULL else 300)(Jobs.TestCase)
TestJobs.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
