"""Run by test_fork.py: enqueues, forks, and goes on in the parent and the child at once. Exits 0 if all went well."""

import os
import sys

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import Application, over
from tomqueue import TomQueue, configure_sqlite

ROUNDS = 50


def main(url: str) -> None:
    """Use all connections on both sides of a fork; the child ends as any process does, with its finalizers."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        configure_sqlite(engine)
    app = over(url, engine, TomQueue(url))
    app.send.enqueue(0)
    assert app.rows() == [0]  # by the other kind of connection that TomQueue has
    child = os.fork()
    engine.dispose(close=False)  # the application's own duty, says SQLAlchemy
    go_on(app, 2000 if child else 1000)
    if not child:
        app.tq.close()
        return
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    app.send.enqueue(3000)
    both = [*range(1000, 1000 + ROUNDS), *range(2000, 2000 + ROUNDS)]
    assert app.rows() == [0, *both, 3000]
    app.tq.close()


def go_on(app: Application, first: int) -> None:
    """Enqueue and look, while the other process does the same."""
    numbers = range(first, first + ROUNDS)
    for number in numbers:
        if number % 2:
            app.send.enqueue(number)
        else:
            with Session(app.engine) as session:
                app.send.using(session=session, queue=f"queue-{number}").enqueue(number)
                session.commit()
        assert number in app.rows()
    assert app.announced == [0, *numbers]


if __name__ == "__main__":
    main(sys.argv[1])
