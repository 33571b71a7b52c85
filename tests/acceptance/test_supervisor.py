"""The supervisor and its children: real processes, killed for real."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

from tests.acceptance.conftest import MakeSite
from tests.acceptance.site import Site, field_of, wait_until
from tests.processes import is_alive
from tomqueue import State


def test_every_job_runs_exactly_once(site: Site) -> None:
    """Two workers run 500 jobs, each once, and TERM ends them cleanly."""
    ids = [site.enqueue("note", f"n{number}") for number in range(500)]
    with site.started("run", "-p", "2") as running:
        lines = site.wait_for_lines(len(ids))
        site.wait_until_empty()
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert Counter(line.split()[0] for line in lines) == Counter(f"n{number}" for number in range(500))
    assert {field_of(line, "attempt") for line in lines} == {1}


def test_term_lets_a_running_job_end(site: Site) -> None:
    """A drain finishes what runs and leaves what waits, uncharged."""
    site.enqueue("slow", "first", 1)
    with site.started("work", "-p", "1") as running:
        site.wait_for_lines(1, "begin")
        waiting = site.enqueue("note", "second")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert site.lines("end first")
    assert not site.lines("second")
    job = site.tq.jobs.get(waiting)
    assert (job.state, job.attempts) == (State.READY, 0)


def test_a_job_longer_than_the_grace_time_is_given_back(make_site: MakeSite) -> None:
    """It is interrupted before the end of the grace time, may clean up, and is not charged (I8)."""
    site = make_site(grace=3)
    job = site.enqueue("slow", "long", 60)
    with site.started("work", "-p", "1") as running:
        site.wait_for_lines(1, "begin")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert site.lines("interrupted long")
    after = site.tq.jobs.get(job)
    assert (after.state, after.attempts, after.crashes) == (State.READY, 0, 0)


def test_a_second_interrupt_ends_everything_now(make_site: MakeSite) -> None:
    """Ctrl-C twice kills the children at once; what ran is given back uncharged."""
    site = make_site(grace=60)
    job = site.enqueue("slow", "long", 60)
    with site.started("run", "-p", "2") as running:
        site.wait_for_lines(1, "begin")
        running.send(signal.SIGINT)
        running.wait_for_log("draining")
        running.send(signal.SIGINT)
        assert running.wait() == 0
    after = site.tq.jobs.get(job)
    assert (after.state, after.attempts, after.crashes) == (State.READY, 0, 0)


def test_a_killed_child_is_charged_and_its_job_runs_elsewhere(site: Site) -> None:
    """After kill -9 the job that ran starts again in another process, as its second attempt."""
    site.enqueue("slow", "victim", 2)
    with site.started("run", "-p", "2"):
        first = site.wait_for_lines(1, "begin")[0]
        os.kill(field_of(first, "pid"), signal.SIGKILL)
        killed = time.monotonic()
        second = site.wait_for_lines(2, "begin")[1]
        assert time.monotonic() - killed < site.tq.settings.lease  # by its parent, not by the end of its lease
        assert field_of(second, "attempt") == 2
        assert field_of(second, "pid") != field_of(first, "pid")
        site.wait_for_lines(1, "end victim")
        site.wait_until_empty()


def test_neighbours_of_a_crash_are_not_charged(site: Site) -> None:
    """Jobs that were claimed beside the one that crashed run as their first attempt (I7)."""
    warm_up = [site.enqueue("note", f"warm{number}") for number in range(200)]
    with site.started("run", "-p", "1"):
        site.wait_for_lines(len(warm_up), "warm")
        site.wait_until_empty()
        poison = site.enqueue("abort")
        for number in range(50):
            site.enqueue("note", f"after{number}")
        lines = site.wait_for_lines(50, "after")
        wait_until(lambda: site.tq.jobs.get(poison).state is State.FAILED, "the poison job to be failed")
    assert {field_of(line, "attempt") for line in lines} == {1}
    assert Counter(line.split()[0] for line in lines) == Counter(f"after{number}" for number in range(50))


def test_a_job_that_kills_its_process_is_failed_after_three_crashes(site: Site) -> None:
    """The poison job ends in failed with the signal's name; the workers go on."""
    job = site.enqueue("abort")
    with site.started("run", "-p", "2"):
        wait_until(lambda: site.tq.jobs.get(job).state is State.FAILED, "the poison job to be failed")
        site.enqueue("note", "healthy")
        site.wait_for_lines(1, "healthy")
    after = site.tq.jobs.get(job)
    assert after.crashes == 3
    assert "SIGABRT" in (after.last_error or "")


def test_children_die_with_their_supervisor_and_a_new_one_takes_over(site: Site) -> None:
    """After kill -9 of the supervisor no child survives it, and when its lease is over the job runs again."""
    job = site.enqueue("slow", "orphan", 60)
    with site.started("run", "-p", "2") as running:
        site.wait_for_lines(1, "begin")
        children = running.children()
        running.send(signal.SIGKILL)
        running.wait()
        wait_until(lambda: not any(map(is_alive, children)), "the children to be gone")
    assert site.tq.jobs.get(job).state is State.RUNNING
    with site.started("run", "-p", "1"):
        again = site.wait_for_lines(2, "begin")[1]
        assert field_of(again, "attempt") == 1


def test_a_child_that_lost_its_lease_ends_itself(site: Site) -> None:
    """When its row in the leases table is gone, a worker dies before it touches a job, and is replaced."""
    site.enqueue("slow", "first", 60)
    with site.started("run", "-p", "2") as running:
        before = site.wait_for_lines(1, "begin")[0]
        tools = site.tq.tools()
        with tools.store.writing() as connection:
            connection.execute(tools.store.tables.workers.delete())
        wait_until(lambda: not is_alive(field_of(before, "pid")), "the worker to end itself")
        running.wait_for_log("its lease is over")
        again = site.wait_for_lines(2, "begin")[1]
        assert field_of(again, "attempt") == 1  # nobody is charged for a lease
        site.enqueue("note", "replaced")
        site.wait_for_lines(1, "replaced")


def test_a_database_that_is_locked_for_long_kills_nobody(make_site: MakeSite) -> None:
    """An atomic job holds SQLite's write lock for longer than a lease: it ends, once, and every worker lives on."""
    site = make_site(heartbeat=0.2, lease=2)
    site.enqueue("slow", "neighbour", 4)
    site.enqueue("hog", 4)
    with site.started("run", "-p", "2") as running:
        site.wait_for_lines(2)
        children = running.children()
        site.wait_until_empty()
        assert running.children() == children
        assert "lease" not in running.log
    assert {field_of(line, "attempt") for line in site.lines()} == {1}
    assert sorted(line.split()[0] for line in site.lines()) == ["begin", "end", "hog"]


def test_a_job_that_exits_with_zero_is_charged(site: Site) -> None:
    """os._exit(0) ends the process cleanly, but not the job: it counts as a crash, and is failed after three."""
    job = site.enqueue("leave_early")
    with site.started("work", "-p", "1"):
        wait_until(lambda: site.tq.jobs.get(job).state is State.FAILED, "the job to be failed")
    after = site.tq.jobs.get(job)
    assert (after.crashes, len(site.lines())) == (3, 3)
    assert "exited with status 0" in (after.last_error or "")


def test_in_threads_only_the_killer_is_charged(site: Site) -> None:
    """A job that kills its process beside others: each suspect runs alone the next time, and only one is failed."""
    killer = site.enqueue("killer")
    for number in range(3):
        site.enqueue("slow", f"innocent{number}", 1)
    with site.started("work", "-p", "1", "--threads", "4"):
        wait_until(lambda: site.tq.jobs.get(killer).state is State.FAILED, "the killer to be failed")
        site.wait_for_lines(3, "end innocent")
        wait_until(lambda: site.tq.jobs.count() == 1, "the innocent to be done")


def test_what_a_job_forked_does_not_keep_its_worker_alive(site: Site) -> None:
    """After kill -9 of the supervisor a fork of a job lives on; the row is free nevertheless."""
    site.enqueue("grandchild")
    with site.started("work", "-p", "1") as running:
        first = site.wait_for_lines(1, "forked")[0]
        running.send(signal.SIGKILL)
        running.wait()
        wait_until(lambda: not is_alive(field_of(first, "pid")), "the worker to be gone")
    with site.started("work", "-p", "1") as running:
        site.wait_for_lines(2, "forked")


def test_threads_that_a_job_left_do_not_keep_a_recycled_worker(site: Site) -> None:
    """A worker that has run its share ends, whatever non-daemon threads are left in it."""
    for number in range(3):
        site.enqueue("lingering", f"n{number}")
    with site.started("work", "-p", "1", "--max-jobs", "1"):
        lines = site.wait_for_lines(3, "lingering")
    assert len({field_of(line, "pid") for line in lines}) == 3


def test_workoff_goes_on_after_recycling_and_into_new_queues(site: Site) -> None:
    """It ends when nothing is ready, not when a worker has run its share."""
    for number in range(7):
        site.enqueue("note", f"n{number}", queue=f"queue{number % 3}")
    site.run("workoff", "-p", "1", "--max-jobs", "2")
    assert len(site.lines()) == 7


def test_a_database_that_is_away_is_waited_for(site: Site) -> None:
    """Children that cannot reach it are no failing application: the supervisor goes on until it is back."""
    database = Path(site.tq.settings.database_url.removeprefix("sqlite:///"))
    site.enqueue("note", "first")
    site.tq.close()
    with site.started("work", "-p", "1", "--max-jobs", "1") as running:
        site.wait_for_lines(1, "first")
        for file in database.parent.glob(f"{database.name}*"):
            file.rename(file.with_name(f"away-{file.name}"))
        database.mkdir()  # cannot be opened as a file
        running.wait_for_log("the database is away")
        database.rmdir()
        for file in database.parent.glob(f"away-{database.name}*"):
            file.rename(file.with_name(file.name.removeprefix("away-")))
        site.enqueue("note", "second")
        site.wait_for_lines(1, "second")


def test_time_limits_hold_in_sleep_and_in_a_blocking_read(site: Site) -> None:
    """JobTimeout is raised in a sleeping and in a reading job; the error names the line."""
    sleeping, reading = site.enqueue("oversleep"), site.enqueue("deaf")
    with site.started("work", "-p", "1"):
        for job, line in ((sleeping, "time.sleep(3600)"), (reading, "left.recv(1)")):
            wait_until(lambda job=job: site.tq.jobs.get(job).last_error is not None, "the time-out")  # type: ignore[misc]
            after = site.tq.jobs.get(job)
            assert (after.state, after.attempts) == (State.SCHEDULED, 1)
            assert line in (after.last_error or "")
            assert "JobTimeout" in (after.last_error or "")


def test_a_loop_in_c_is_killed_and_its_stack_kept(make_site: MakeSite) -> None:
    """What ignores its time-out is killed after the grace time; last_error says where it hung."""
    site = make_site(grace=4)
    job = site.enqueue("spin")
    with site.started("work", "-p", "1") as running:
        wait_until(lambda: site.tq.jobs.get(job).failed_at is not None, "the job to be failed")
        after = site.tq.jobs.get(job)
        assert "ignored it; the process was killed" in (after.last_error or "")
        assert "in spin" in (after.last_error or "")
        site.enqueue("note", "next")
        site.wait_for_lines(1, "next")
        running.send(signal.SIGTERM)
        assert running.wait() == 0


def test_hup_restarts_with_the_new_code(site: Site) -> None:
    """HUP replaces the children one by one; they run what the module says now."""
    with site.started("run", "-p", "2") as running:
        site.enqueue("note", "old")
        site.wait_for_lines(1, "old")
        old = set(running.children())
        site.module.write_text(site.module.read_text().replace('write(f"{text} ', 'write(f"new-{text} '))
        running.send(signal.SIGHUP)
        wait_until(lambda: not old & set(running.children()), "both children to be replaced")
        site.enqueue("note", "code")
        site.wait_for_lines(1, "new-code")
        running.send(signal.SIGTERM)
        assert running.wait() == 0


def test_hup_with_a_broken_module_keeps_the_old_workers(site: Site) -> None:
    """A deploy that cannot be imported is reported; the workers that work go on."""
    with site.started("run", "-p", "1") as running:
        site.enqueue("note", "before")
        site.wait_for_lines(1, "before")
        site.module.write_text("this is no Python\n")
        running.send(signal.SIGHUP)
        running.wait_for_log("not restarted")
        site.enqueue("note", "after")
        site.wait_for_lines(1, "after")


def test_max_jobs_recycles_a_child(site: Site) -> None:
    """A child ends after so many jobs and is replaced at once; no job is charged twice."""
    for number in range(12):
        site.enqueue("note", f"n{number}")
    with site.started("work", "-p", "1", "--max-jobs", "5") as running:
        lines = site.wait_for_lines(12)
        site.wait_until_empty()
        running.send(signal.SIGTERM)
        running.wait()
    assert len({field_of(line, "pid") for line in lines}) >= 3
    assert {field_of(line, "attempt") for line in lines} == {1}


def test_max_memory_recycles_a_child(site: Site) -> None:
    """A child that has grown too large is replaced between two jobs."""
    site.enqueue("grow", 200)
    with site.started("work", "-p", "1", "--max-memory", "150M"):
        big = site.wait_for_lines(1, "grow")[0]
        wait_until(lambda: not is_alive(field_of(big, "pid")), "the large child to end")
        site.enqueue("note", "small")
        assert field_of(site.wait_for_lines(1, "small")[0], "pid") != field_of(big, "pid")


def test_threads_run_jobs_side_by_side(site: Site) -> None:
    """Eight slots of one process run eight slow jobs at the same time."""
    for number in range(8):
        site.enqueue("slow", f"n{number}", 2)
    with site.started("work", "-p", "1", "--threads", "8"):
        lines = site.wait_for_lines(16)
    assert all(line.startswith("begin") for line in lines[:8])


def test_workoff_ends_when_nothing_is_ready(site: Site) -> None:
    """The command runs what is ready, leaves what is scheduled, and exits with 0."""
    site.enqueue("note", "now")
    later = site.enqueue("note", "later", delay=3600)
    site.run("workoff", "-p", "2")
    assert [line.split()[0] for line in site.lines()] == ["now"]
    assert site.tq.jobs.get(later).state is State.SCHEDULED


def test_json_logs_carry_the_job(site: Site) -> None:
    """With --json-logs every record of a job has its id, name and attempt."""
    import json

    job = site.enqueue("fails")
    site.run("migrate")
    with site.started("work", "-p", "1", "--json-logs") as running:
        wait_until(lambda: site.tq.jobs.get(job).failed_at is not None, "the job to fail")
        running.wait_for_log("ValueError")
        records = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    about = [record for record in records if record.get("job_id") == job]
    assert about
    assert all(record["job_name"] == "fails" and record["attempt"] == 1 for record in about)


def test_an_application_that_cannot_be_imported_is_one_clear_error(site: Site) -> None:
    """The supervisor does not start without an application; the message names what is wrong."""
    site.module.write_text("import nonexistent_module\n")
    result = site.run("run", "-p", "1", check=False)
    assert result.returncode != 0
    assert "nonexistent_module" in result.stderr
    assert "Traceback" not in result.stderr


def test_eight_processes_on_one_file_never_see_a_locked_database(site: Site, tmp_path: Path) -> None:
    """Four workers and four enqueuers share a file: no lock error anywhere, and each job runs once."""
    import subprocess
    import sys

    program = "import site_app\nfor n in range(250): site_app.note.enqueue(str(PREFIX) + '-' + str(n))\n"
    with site.started("run", "-p", "4") as running:
        enqueuers = [
            subprocess.Popen(
                [sys.executable, "-c", program.replace("PREFIX", repr(str(number)))], cwd=tmp_path, env=site.environment
            )
            for number in range(4)
        ]
        assert [enqueuer.wait(60) for enqueuer in enqueuers] == [0, 0, 0, 0]
        lines = site.wait_for_lines(1000)
        site.wait_until_empty()
        assert "locked" not in running.log
    assert len({line.split()[0] for line in lines}) == len(lines) == 1000
