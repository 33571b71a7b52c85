"""Sell: orders that commit, one that is sold out, one whose savepoint is rolled back; then send their mails."""

import shutil
import subprocess
import sys

from orders import HERE, MAILS, Article, Base, Order, Reader, SoldOut, engine, place_order, subscribe, tq
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session


def main() -> int:
    start_clean()
    sell("ann@example.org", newsletter=True)
    sell("bob@example.org", newsletter=False)
    sell("ann@example.org", newsletter=True)  # has the newsletter: only that part is rolled back
    sell("cid@example.org", newsletter=True)  # sold out: everything is rolled back
    print(f"\nCommitted: {tq.jobs.count()} jobs")
    tomqueue("workoff", "--processes", "1")
    return report()


def start_clean() -> None:
    tomqueue("migrate")
    for job in tq.jobs.list(limit=None):  # of a run that was cut short
        tq.jobs.delete(job.id)
    shutil.rmtree(MAILS, ignore_errors=True)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(Article(id=1, title="Lamp", stock=3))


def sell(address: str, *, newsletter: bool) -> None:
    try:
        with Session(engine) as session, session.begin():
            if newsletter:
                try_to_subscribe(session, address)
            order = place_order(session, 1, address)
        print(f"{address}: order {order} committed")
    except SoldOut as error:
        print(f"{address}: {error} is sold out; order, newsletter and e-mails rolled back")


def try_to_subscribe(session: Session, address: str) -> None:
    try:
        with session.begin_nested():
            subscribe(session, address)
    except IntegrityError:
        print(f"{address}: has the newsletter; the savepoint is rolled back, and its e-mail with it")


def report() -> int:
    """Compare the mails with what is in the database; return the exit code."""
    with Session(engine) as session:
        expected = {f"order-{number}.txt" for number in session.scalars(select(Order.id))}
        expected |= {f"welcome-{address}.txt" for address in session.scalars(select(Reader.address))}
    sent = {path.name for path in MAILS.glob("*.txt")}
    print(f"Sent: {', '.join(sorted(sent))}")
    print("Every committed order has its mail, and nothing else was sent" if sent == expected else f"not {expected}")
    return 0 if sent == expected else 1


def tomqueue(*words: str) -> None:
    command = [sys.executable, "-m", "tomqueue", "--app", "orders:tq", "--log-level", "warning", *words]
    subprocess.run(command, cwd=HERE, check=True)


if __name__ == "__main__":
    sys.exit(main())
