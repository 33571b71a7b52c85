"""Celery on RabbitMQ. SAFE=1 asks for what its documentation names for jobs that must not be lost."""

import datetime as dt
import os

from celery import Celery
from verbs import Program, count_done, note_start

app = Celery("app", broker=os.environ["BROKER_URL"])
app.conf.task_ignore_result = True  # docs, userguide/tasks: "Ignore results you don't want"
app.conf.worker_prefetch_multiplier = 128  # docs, userguide/optimizing: many short tasks, "64, or 128 for example"
app.conf.broker_connection_retry_on_startup = True
if os.environ.get("SAFE"):
    app.conf.task_acks_late = True  # docs, userguide/tasks: acknowledged after it ran
    app.conf.task_reject_on_worker_lost = True  # docs, userguide/configuration: or a killed child loses its task
    app.conf.broker_transport_options = {"confirm_publish": True}  # docs, userguide/configuration


@app.task
def noop(_number):
    count_done()


@app.task
def stamp(number):
    note_start(number)


def enqueue_many(numbers):
    with app.producer_or_acquire() as producer:  # docs, userguide/calling: one publisher for many calls
        for number in numbers:
            noop.apply_async((number,), producer=producer)


def hold(numbers, due, _urgent):
    eta = dt.datetime.fromtimestamp(due, dt.UTC)
    with app.producer_or_acquire() as producer:
        for number in numbers:
            noop.apply_async((number,), eta=eta, producer=producer)


program = Program(
    enqueue=noop.delay,
    enqueue_many=enqueue_many,
    stamp=stamp.delay,
    stamp_at=lambda number, due: stamp.apply_async((number,), eta=dt.datetime.fromtimestamp(due, dt.UTC)),
    hold=hold,
)
