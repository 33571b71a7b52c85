"""A database of one file of tests, each of whose statements can fail."""

from collections.abc import Iterator

import pytest

from tests.faults.injection import Injector
from tests.servers import fresh_database


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """Give one kind of database after the other; a test may choose fewer (``indirect``)."""
    return str(request.param)


@pytest.fixture(scope="module")
def injector() -> Injector:
    """Give what breaks statements."""
    return Injector()


@pytest.fixture(scope="module")
def url(kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of an empty database for all tests of a file: each has a queue of its own."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('statements') / 'jobs.db'}"
        return
    with fresh_database(request.getfixturevalue(f"{kind}_server")) as url:
        # nobody pulls the plug here
        yield f"{url}?options=-c%20synchronous_commit%3Doff" if kind == "postgres" else url
