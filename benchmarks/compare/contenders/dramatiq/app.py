"""Dramatiq on RabbitMQ, with confirmed publishing."""

import os
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from verbs import Program, count_done, note_start

# docs, guide and reference of RabbitmqBroker: confirm_delivery waits until the broker has the message; off by default
dramatiq.set_broker(RabbitmqBroker(url=os.environ["BROKER_URL"], confirm_delivery=True))


@dramatiq.actor
def noop(_number):
    count_done()


@dramatiq.actor
def stamp(number):
    note_start(number)


def delay(due):
    return max(0, round((due - time.time()) * 1000))


def hold(numbers, due, _urgent):
    for number in numbers:
        noop.send_with_options(args=(number,), delay=delay(due))


program = Program(
    enqueue=noop.send,
    stamp=stamp.send,
    stamp_at=lambda number, due: stamp.send_with_options(args=(number,), delay=delay(due)),
    hold=hold,
)
