"""Crash points: inert unless told, deadly at the right moment, and a typing error is told at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tomqueue import crash_points
from tomqueue.crash_points import POINTS, VARIABLE, CrashPlan, pass_by, plan_of

REACH = (
    "from tomqueue.crash_points import reached\nfor n in range(5): print(n, flush=True); reached('worker.after_job')"
)


def ran(code: str, plan: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a process that is to die by a plan."""
    environment = {**os.environ, VARIABLE: plan}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_the_variable_nothing_happens() -> None:
    """The function at every point is then one that does nothing."""
    assert plan_of({}) is pass_by
    assert crash_points.reached is pass_by


def test_a_process_is_killed_at_the_point_the_nth_time() -> None:
    """By SIGKILL, not by an error that something could catch; another point does not count."""
    died = ran(REACH, "worker.after_job:3")
    assert (died.returncode, died.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2"])
    assert ran(REACH, "worker.after_claim").returncode == 0


def test_with_a_mark_one_process_dies(tmp_path: Path) -> None:
    """It says when and who; the next one goes on."""
    mark = tmp_path / "mark"
    plan = f"worker.after_job@{mark}"
    assert ran(REACH, plan).returncode == -signal.SIGKILL
    moment, pid = mark.read_text().split()
    assert float(moment) > 0
    assert int(pid) != os.getpid()
    assert ran(REACH, plan).returncode == 0


def test_a_wrong_point_is_one_clear_line_at_the_start() -> None:
    """Not a process that never dies, and no traceback."""
    wrong = ran("import tomqueue", "worker.after_jbo")
    assert wrong.returncode == 1
    (line,) = wrong.stderr.splitlines()
    assert line.startswith("TOMQUEUE_CRASH_AT='worker.after_jbo': say POINT[:TIMES][!ACT][@FILE]; ")
    assert "; the points are enqueue.before_commit, " in line


@pytest.mark.parametrize(
    "text", ["worker.after_job:0", "worker.after_job:x", "nowhere", "worker.after_job@", "worker.after_job!"]
)
def test_what_it_cannot_mean_is_refused(text: str) -> None:
    """Times from 1, a known point, a known act, a file with a name."""
    with pytest.raises(ValueError, match="say POINT"):
        plan_of({VARIABLE: text})


def test_a_process_can_be_frozen_in_place_of_killed() -> None:
    """It stays where it is until somebody wakes it, and goes on from there."""
    environment = {**os.environ, VARIABLE: "worker.after_job:3!freeze"}
    with subprocess.Popen([sys.executable, "-c", REACH], env=environment, stdout=subprocess.PIPE, text=True) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0].split() == ["0", "1", "2", "3", "4"]
    assert process.returncode == 0


def test_a_process_can_tell_its_parent_to_end() -> None:
    """And goes on itself."""
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {REACH!r}])\n"
        "child.wait()\ntime.sleep(60)"
    )
    told = ran(parent, "worker.after_job:3!drain")
    assert told.returncode == -signal.SIGTERM
    assert "2" in told.stdout.split()


def test_every_point_can_be_named() -> None:
    """With what the text says of it."""
    for point in POINTS:
        plan = plan_of({VARIABLE: f"{point}:7!drain@/mark"})
        assert isinstance(plan, CrashPlan)
        assert (plan.point, plan.mark) == (point, "/mark")


def test_every_point_is_reached_somewhere() -> None:
    """The table and the code name the same points."""
    source = Path(crash_points.__file__).parent
    code = "\n".join(path.read_text() for path in source.rglob("*.py"))
    assert {point for point in POINTS if f'reached("{point}")' not in code} == set()
    assert code.count('reached("') >= len(POINTS)
