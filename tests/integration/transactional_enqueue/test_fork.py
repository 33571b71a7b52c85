"""A process that forks: parent and child each have connections of their own."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import create_engine

from tests.integration.transactional_enqueue.application import Base, install


def test_a_child_enqueues_without_harm_to_its_parent(url: str) -> None:
    """A child uses no connection that its parent opened, and ends none: both enqueue and read after the fork."""
    install(url)
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.integration.transactional_enqueue.forking", url]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
