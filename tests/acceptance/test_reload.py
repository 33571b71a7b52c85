"""``tomqueue run --reload``: the workers follow the files of the application."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.acceptance.site import Site, wait_until

CHANGED = """
@tq.job(name="later")
def later():
    write("later ran")
"""


def test_a_changed_file_restarts_the_workers(site: Site) -> None:
    """New code runs without a hand's turn, running jobs end before, and what cannot be imported changes nothing."""
    later = site.tq.job(name="later")(nothing)
    with site.started("run", "-p", "1", "--reload") as running:
        running.wait_for_log(f"watching the Python files below {site.folder.resolve()}")
        site.enqueue("slow", "first", 1)
        site.wait_for_lines(1, "begin first")
        working = site.module.read_text()
        site.module.write_text(working + "def broken(:\n")
        running.wait_for_log("not restarted, the old workers go on")
        site.module.write_text(working + CHANGED)
        running.wait_for_log("restarting the workers one by one")
        later.enqueue()
        site.wait_for_lines(1, "later ran")
        assert site.lines("end first")
        assert not site.lines("interrupted")
        (site.folder / "notes.txt").write_text("not Python")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
        assert running.log.count("restarting the workers") == 1


def nothing() -> None:
    """Stand for a job that the application will have."""


def test_another_folder_may_be_watched(site: Site, tmp_path: Path) -> None:
    """And several; one that is not there is named before anything starts."""
    other = tmp_path / "library"
    other.mkdir()
    with site.started("run", "-p", "1", "--reload", "--reload-dir", "library") as running:
        running.wait_for_log(f"below {other.resolve()}")
        (other / "new.py").write_text("")
        running.wait_for_log("new.py changed")
        running.wait_for_log("restarting the workers one by one")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    failed = site.run("run", "--reload", "--reload-dir", "libary", check=False)
    assert (failed.returncode, failed.stderr) == (2, "tomqueue: --reload-dir libary: there is no such folder\n")


def test_a_folder_needs_the_flag(site: Site) -> None:
    """It would be watched by nobody."""
    failed = site.run("run", "--reload-dir", ".", check=False)
    assert failed.returncode == 2
    assert "--reload-dir needs --reload" in failed.stderr


def test_without_watchfiles_it_says_what_to_install(site: Site) -> None:
    """In one line, before anything starts."""
    program = "import sys; sys.modules['watchfiles'] = None; from tomqueue.cli.main import main; main()"
    failed = subprocess.run(
        [sys.executable, "-c", program, "run", "--reload"], cwd=site.folder, env=site.environment, text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert failed.returncode == 2
    assert failed.stderr == "tomqueue: --reload needs watchfiles: pip install 'tomqueue[reload]'\n"


def test_a_hup_that_comes_while_the_application_is_asked_is_kept(site: Site) -> None:
    """What changed since may not be in its answer: it is asked once more."""
    site.module.write_text(site.module.read_text() + "time.sleep(0.5)\n")
    with site.started("run", "-p", "1") as running:
        site.enqueue("note", "first")
        site.wait_for_lines(1, "first")
        running.send(signal.SIGHUP)
        wait_until(lambda: len(running.children()) > 1, "a process that asks the application")
        running.send(signal.SIGHUP)
        running.wait_for_times(2, "restarting the workers one by one")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
