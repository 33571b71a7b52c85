"""Our application: it charges orders that another program, the shop, announces at RabbitMQ, and announces receipts."""

import os
from pathlib import Path

from tomqueue import Message, TomQueue

HERE = Path(__file__).parent
DATABASE = HERE / "billing.db"
ORDERS = os.environ.get("SHOP_EXCHANGE", "shop.orders")
RECEIPTS = f"{ORDERS}.receipts"

tq = TomQueue(f"sqlite:///{DATABASE}")
receipts = tq.producer(exchange=RECEIPTS)


@tq.consumer(name="orders", exchange=ORDERS, routing_key="order.placed", discard_on=(ValueError, KeyError))
def on_order(message: Message) -> None:
    """Make a job of an order: from there on it is in the database, with attempts, back-off and all."""
    order = message.json()  # ValueError: it will be no JSON the next time either
    charge.enqueue(order["id"], order["cents"])


@tq.job(name="charge", max_attempts=5)
def charge(order: int, cents: int) -> None:
    """Charge, then announce it. Should the broker be away, publish() raises, and the job comes again."""
    receipts.publish({"order": order, "charged": cents}, routing_key="order.charged")
