"""The other program: it knows RabbitMQ and nothing of TomQueue. It places orders and waits for their receipts."""

import json
import os
import sys
import time
from typing import Any

import pika
from pika.exceptions import UnroutableError

URL = os.environ["TOMQUEUE_BROKER_URL"]
ORDERS = os.environ.get("SHOP_EXCHANGE", "shop.orders")
RECEIPTS = f"{ORDERS}.receipts"
PATIENCE = 60.0


def main() -> int:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for exchange in (ORDERS, RECEIPTS):
            channel.exchange_declare(exchange, "topic", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, RECEIPTS, "order.charged")
        place(channel, b"not an order")
        for number in range(1, 6):
            place(channel, json.dumps({"id": number, "cents": 990 * number}).encode())
        return report(wait_for_receipts(channel, queue, 5))


def place(channel: Any, body: bytes) -> None:
    """Publish until somebody is there to get it: the first order comes before billing has bound its queue."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            channel.basic_publish(ORDERS, "order.placed", body, mandatory=True)
        except UnroutableError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            print(f"shop: placed {body.decode()}", flush=True)
            return


def wait_for_receipts(channel: Any, queue: str, count: int) -> dict[int, int]:
    """Return what was charged, by order; one that is announced twice (at least once, says AMQP) counts once."""
    charged: dict[int, int] = {}
    for _, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=PATIENCE):
        if body is None:
            break
        receipt = json.loads(body)
        charged[receipt["order"]] = receipt["charged"]
        if len(charged) == count:
            break
    return charged


def report(charged: dict[int, int]) -> int:
    for order, cents in sorted(charged.items()):
        print(f"shop: order {order} was charged {cents / 100:.2f}")
    return 0 if len(charged) == 5 else 1


if __name__ == "__main__":
    sys.exit(main())
