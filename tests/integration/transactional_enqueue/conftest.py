"""The same application on every database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import Application, application
from tomqueue import configure_sqlite

KINDS = ("sqlite", "postgres", "mariadb")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Give one kind of database after the other; a test may choose fewer (``indirect``)."""
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database of this kind."""
    return str(request.getfixturevalue(f"{kind}_url"))


@pytest.fixture
def app(url: str) -> Iterator[Application]:
    """Give an application whose Engine is its own."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        configure_sqlite(engine)
    made = application(url, engine)
    yield made
    made.tq.close()
    engine.dispose()


@pytest.fixture
def session(app: Application) -> Iterator[Session]:
    """Give a session of the application."""
    with Session(app.engine) as opened:
        yield opened
