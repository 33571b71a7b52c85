"""A shop: an order and its e-mail commit together, or not at all."""

import os
from pathlib import Path

from sqlalchemy import ForeignKey, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tomqueue import Discard, TomQueue, configure_sqlite

HERE = Path(__file__).parent
MAILS = HERE / "mails"
DATABASE_URL = os.environ.get("TOMQUEUE_DATABASE_URL") or f"sqlite:///{HERE / 'shop.db'}"

tq = TomQueue(DATABASE_URL, table_prefix="shop_jobs")  # the broker, if any: TOMQUEUE_BROKER_URL, TOMQUEUE_PREFIX
engine = create_engine(DATABASE_URL)
if engine.dialect.name == "sqlite":
    configure_sqlite(engine)


class Base(DeclarativeBase): ...


class Article(Base):
    __tablename__ = "shop_articles"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(100))
    stock: Mapped[int]


class Order(Base):
    __tablename__ = "shop_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey(Article.id))
    address: Mapped[str] = mapped_column(String(200))


class Reader(Base):
    """Who gets the newsletter: everybody once."""

    __tablename__ = "shop_readers"
    address: Mapped[str] = mapped_column(String(200), primary_key=True)


class SoldOut(Exception): ...


@tq.job(queue="mailers", priority="high")
def confirm(order_id: int) -> None:
    """Send the confirmation of an order. The order is there: this job was committed together with it."""
    with Session(engine) as session:
        order = session.get(Order, order_id)
        if order is None:
            raise Discard(f"order {order_id} was deleted meanwhile")
        send(f"order-{order_id}", f"To: {order.address}\nThank you for your order {order_id}.\n")


@tq.job(queue="mailers", priority="low")
def welcome(address: str) -> None:
    send(f"welcome-{address}", f"To: {address}\nWelcome to our newsletter.\n")


def send(key: str, text: str) -> None:
    """Write a mail. After a crash a job may run again: the key makes the second mail replace the first."""
    MAILS.mkdir(exist_ok=True)
    (MAILS / f"{key}.txt").write_text(text)


def place_order(session: Session, article_id: int, address: str) -> int:
    """Order an article; return the order's id. Raises SoldOut: the caller's rollback takes order and e-mail with it."""
    order = Order(article_id=article_id, address=address)
    session.add(order)
    session.flush()  # the database gives out the id
    confirm.using(session=session).enqueue(order.id)
    article = session.get_one(Article, article_id, with_for_update=True)
    if article.stock == 0:
        raise SoldOut(article.title)
    article.stock -= 1
    return order.id


def subscribe(session: Session, address: str) -> None:
    """Order the newsletter. Raises IntegrityError for somebody who has it."""
    welcome.using(session=session).enqueue(address)
    session.add(Reader(address=address))
    session.flush()
