"""Huey on SQLite: write-ahead log and SQLite's own synchronous=FULL, which are its defaults."""

import os
import time

from huey import SqliteHuey
from verbs import Program, count_done, note_start

huey = SqliteHuey("app", filename=os.environ["SQLITE_FILE"], results=False)


@huey.task()
def noop(_number):
    count_done()


@huey.task()
def stamp(number):
    note_start(number)


def hold(numbers, due, _urgent):
    for number in numbers:
        noop.schedule(args=(number,), delay=due - time.time())


program = Program(
    enqueue=noop,
    stamp=stamp,
    stamp_at=lambda number, due: stamp.schedule(args=(number,), delay=due - time.time()),
    hold=hold,
)
