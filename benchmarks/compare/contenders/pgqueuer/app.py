"""PgQueuer on PostgreSQL with asyncpg, the driver that its benchmark page recommends for throughput."""

import datetime as dt
import os
import time
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from verbs import Program, count_done, note_start

own: dict[str, Queries] = {}


async def connected():
    return AsyncpgDriver(await asyncpg.connect(os.environ["POSTGRES_URL"]))


@asynccontextmanager
async def main():
    """Give the worker, for `pgq run app:main`."""
    worker = PgQueuer(await connected())

    @worker.entrypoint("noop")
    async def noop(_job):
        count_done()

    @worker.entrypoint("stamp")
    async def stamp(job):
        note_start(int(job.payload))

    yield worker


async def start():
    own["queries"] = Queries(await connected())


async def enqueue(number):
    await own["queries"].enqueue("noop", b"%d" % number)


async def enqueue_many(numbers):
    payloads = [b"%d" % number for number in numbers]
    await own["queries"].enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads))


async def stamp(number):
    await own["queries"].enqueue("stamp", b"%d" % number)


async def stamp_at(number, due):
    await own["queries"].enqueue("stamp", b"%d" % number, execute_after=after(due))


async def hold(numbers, due, urgent):
    payloads = [b"%d" % number for number in numbers]
    many = len(payloads)
    await own["queries"].enqueue(["noop"] * many, payloads, [10 if urgent else 0] * many, [after(due)] * many)


def after(due):
    return dt.timedelta(seconds=max(0.0, due - time.time()))


async def set_up():
    await own["queries"].install()


program = Program(
    enqueue=enqueue,
    enqueue_many=enqueue_many,
    stamp=stamp,
    stamp_at=stamp_at,
    hold=hold,
    start=start,
    set_up=set_up,
    asynchronous=True,
)
