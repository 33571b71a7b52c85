"""pytest's fixtures for applications with TomQueue. Nothing of TomQueue is imported before one of them is used.

A module of its own, beside the package: pytest imports it in every run of every project where TomQueue is installed,
and the package's own import would bring SQLAlchemy with it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tomqueue import TomQueue
    from tomqueue.testing import DatabaseKit, TransactionKit

HOW = (
    "set tomqueue_app = package.module:tq in pytest's configuration, or TOMQUEUE_APP, or define a fixture "
    "tomqueue_app that returns your TomQueue"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that names the application."""
    parser.addini("tomqueue_app", "package.module:tq, the TomQueue under test (else TOMQUEUE_APP)", default="")


@pytest.fixture(scope="session")
def tomqueue_app(pytestconfig: pytest.Config) -> "TomQueue":
    """Give the application's TomQueue; define a fixture of this name to give it yourself."""
    from tomqueue.cli.load import load_app  # noqa: PLC0415 - see above

    spec = pytestconfig.getini("tomqueue_app") or os.environ.get("TOMQUEUE_APP")
    if not spec:
        raise pytest.UsageError(f"no application for TomQueue's fixtures: {HOW}")
    return load_app(str(spec))


@pytest.fixture
def tomqueue_kit(tomqueue_app: "TomQueue") -> "Iterator[DatabaseKit]":
    """Give the testing kit, with the application on an empty SQLite file of this test's own."""
    from tomqueue.testing import on_temporary_database  # noqa: PLC0415 - see above

    with on_temporary_database(tomqueue_app) as kit:
        yield kit


@pytest.fixture
def tomqueue_in_transaction(tomqueue_app: "TomQueue") -> "Iterator[Callable[[Any], TransactionKit]]":
    """Give a function that returns the testing kit inside a transaction (Connection or Session) of the test's own."""
    from tomqueue.testing import in_transaction  # noqa: PLC0415 - see above

    with ExitStack() as stack:
        yield lambda transaction: stack.enter_context(in_transaction(tomqueue_app, transaction))
