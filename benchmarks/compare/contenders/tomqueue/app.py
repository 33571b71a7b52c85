"""TomQueue: TOMQUEUE_DATABASE_URL and TOMQUEUE_BROKER_URL say where."""

import datetime as dt
import subprocess
import sys

from verbs import Program, count_done, note_start

from tomqueue import TomQueue

tq = TomQueue()


@tq.job
def noop(number: int) -> None:
    count_done()


@tq.job
def stamp(number: int) -> None:
    note_start(number)


def moment(due):
    return dt.datetime.fromtimestamp(due, dt.UTC)


def hold(numbers, due, urgent):
    later = noop.using(run_at=moment(due), priority="high" if urgent else "normal")
    tq.enqueue_many([later.prepare(number) for number in numbers])


def set_up():
    subprocess.run([sys.executable, "-m", "tomqueue", "--app", "app:tq", "migrate"], check=True, capture_output=True)


program = Program(
    enqueue=noop.enqueue,
    enqueue_many=lambda numbers: tq.enqueue_many([noop.prepare(number) for number in numbers]),
    stamp=stamp.enqueue,
    stamp_at=lambda number, due: stamp.using(run_at=moment(due)).enqueue(number),
    hold=hold,
    end=tq.close,
    set_up=set_up,
)
