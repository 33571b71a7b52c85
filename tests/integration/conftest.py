"""An embedded application of the test's own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Reporter, make_app
from tomqueue import TomQueue


@pytest.fixture
def tq(tmp_path: Path) -> Iterator[TomQueue]:
    """Give an application on an SQLite file."""
    app = make_app(tmp_path / "jobs.db")
    yield app
    app.close()


@pytest.fixture
def reporter(tq: TomQueue) -> Reporter:
    """Give the exception reporter of that application."""
    tq.exception_reporter = reporter = Reporter()
    return reporter


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, so that every gap between two steps is hit."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
