"""RQ on Redis. The worker imports this module before it forks, as RQ's page on performance advises."""

import datetime as dt
import os

from redis import Redis
from rq import Queue, Worker
from verbs import Program, count_done, note_start

connection = Redis.from_url(os.environ["REDIS_URL"])
queue = Queue(connection=connection)


def noop(_number):
    count_done()


def stamp(number):
    note_start(number)


def enqueue_many(numbers):
    queue.enqueue_many([Queue.prepare_data(noop, (number,), result_ttl=0) for number in numbers])


def hold(numbers, due, _urgent):
    moment = dt.datetime.fromtimestamp(due, dt.UTC)
    for number in numbers:
        queue.enqueue_at(moment, noop, number, result_ttl=0)


def stamp_at(number, due):
    queue.enqueue_at(dt.datetime.fromtimestamp(due, dt.UTC), stamp, number, result_ttl=0)


def work():
    Worker([queue], connection=connection).work(logging_level="WARNING", with_scheduler=True)


program = Program(
    enqueue=lambda number: queue.enqueue(noop, number, result_ttl=0),
    enqueue_many=enqueue_many,
    stamp=lambda number: queue.enqueue(stamp, number, result_ttl=0),
    stamp_at=stamp_at,
    hold=hold,
)
