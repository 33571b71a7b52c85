"""An embedded application of the test's own."""

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
