"""A process that forks: parent and child each have connections of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tests.integration.transactional_enqueue.application import SERVERS, Base, install

ROOT = Path(__file__).parents[3]
IDLE_CHILD = """
import os, sys
from sqlalchemy import create_engine
from tests.integration.transactional_enqueue.application import over
from tests.server_admin import ServerAdmin
from tomqueue import TomQueue

url = sys.argv[1]
app = over(url, create_engine(url), TomQueue(url))
app.send.enqueue(0)
app.rows()
admin = ServerAdmin(url)
before = admin.sessions()
child = os.fork()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    app.send.enqueue(1)
    assert app.rows() == [0, 1]
    assert admin.sessions() == before != set()
"""


def test_a_child_enqueues_without_harm_to_its_parent(url: str) -> None:
    """A child uses no connection that its parent opened, and ends none: both enqueue and read after the fork."""
    install(url)
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    command = [sys.executable, "-m", "tests.integration.transactional_enqueue.forking", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_child_that_only_ends_leaves_its_parents_sessions(url: str) -> None:
    """A child that never touches the database ends as any process does, and its parent goes on in the same sessions."""
    install(url)
    command = [sys.executable, "-c", IDLE_CHILD, url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
