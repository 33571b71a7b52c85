"""Taskiq on RabbitMQ by taskiq-aio-pika: its default quorum queue, confirmed publishing (aio-pika's default)."""

import asyncio
import os

from taskiq_aio_pika import AioPikaBroker
from verbs import Program, count_done, note_start

QOS = 100  # as many as run at once (--max-async-tasks, default 100); the default of 10 would leave most of them idle
broker = AioPikaBroker(os.environ["BROKER_URL"], qos=QOS)


@broker.task
async def noop(_number):
    count_done()


@broker.task
async def stamp(number):
    note_start(number)


async def enqueue_many(numbers):
    for begin in range(0, len(numbers), QOS):  # it has no bulk call: publishing side by side is what a loop offers
        await asyncio.gather(*(noop.kiq(number) for number in numbers[begin : begin + QOS]))


program = Program(
    enqueue=noop.kiq,
    enqueue_many=enqueue_many,
    stamp=stamp.kiq,
    start=broker.startup,
    end=broker.shutdown,
    asynchronous=True,
)
