"""An application with an Engine of its own, and what its jobs do: rows that exist, and rows that were announced."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tomqueue import TomQueue
from tomqueue.definition import Definition
from tomqueue.job import Job
from tomqueue.settings import Settings
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store

SERVERS = ("postgres", "mariadb")
"""The kinds of database on which two transactions can write at the same time."""


class Base(DeclarativeBase):
    pass


class Order(Base):
    """The application's own data."""

    __tablename__ = "orders"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


@dataclass
class Application:
    """``send`` is its only job; jobs are told apart by their argument, since ids of rolled-back rows may come again."""

    url: str
    engine: Engine
    tq: TomQueue
    send: Definition[..., ..., None]
    announced: list[int] = field(default_factory=list)

    def rows(self) -> list[int]:
        """Return the committed jobs."""
        return sorted(number_of(job) for job in self.tq.jobs.list(limit=None))


def application(url: str, engine: Engine, **settings: Any) -> Application:
    """Return an application whose tables are there; TomQueue has its own connections to the same database."""
    install(url, **settings)
    Base.metadata.create_all(engine)
    return over(url, engine, TomQueue(url, **settings))


def over(url: str, engine: Engine, tq: TomQueue) -> Application:
    """Return an application around ``tq``."""

    @tq.job(name="send")
    def send(number: int) -> None:
        pass

    app = Application(url, engine, tq, send)
    tq.on("job.enqueued", remembering(app.announced))
    return app


def install(url: str, **settings: Any) -> None:
    """Make the tables of TomQueue."""
    store = open_store(Settings(database_url=url, **settings))
    migrate(store.engine, store.tables)
    store.close()


def remembering(announced: list[int]) -> Callable[[Job], None]:
    """Return a subscriber to ``job.enqueued`` that adds to ``announced``."""

    def remember(job: Job) -> None:
        announced.append(number_of(job))

    return remember


def number_of(job: Job) -> int:
    """Return the argument of a job."""
    arguments = job.arguments
    number: int = arguments["number"] if "number" in arguments else arguments["args"][0]
    return number
