"""The core needs no database driver but Python's own."""

import subprocess
import sys

PROGRAM = """
import sys
for driver in ("psycopg", "MySQLdb", "pymysql", "greenlet", "aiosqlite"):
    sys.modules[driver] = None  # an import of it fails
import tomqueue
tq = tomqueue.TomQueue(sys.argv[1])
print(tq.jobs.count())
"""


def run(url: str) -> "subprocess.CompletedProcess[str]":
    """Run the program on a database."""
    return subprocess.run([sys.executable, "-c", PROGRAM, url], text=True, capture_output=True, check=False)


def test_sqlite_needs_no_extra(sqlite_url: str) -> None:
    """Without any extra installed, the embedded system works."""
    result = run(sqlite_url)
    assert (result.returncode, result.stdout) == (0, "0\n"), result.stderr


def test_a_missing_driver_names_its_extra() -> None:
    """A URL whose driver is not installed says what to install."""
    assert "pip install 'tomqueue[postgres]'" in run("postgresql://host/database").stderr
    assert "pip install 'tomqueue[mysql]'" in run("mysql://host/database").stderr
