"""Procrastinate on PostgreSQL: deferred by the blocking connector, run by the asynchronous worker."""

import datetime as dt
import os

from procrastinate import App, PsycopgConnector
from verbs import Program, count_done, note_start

app = App(connector=PsycopgConnector(conninfo=os.environ["POSTGRES_URL"]))


@app.task(name="noop")
async def noop(number):
    count_done()


@app.task(name="stamp")
async def stamp(number):
    note_start(number)


def moment(due):
    return dt.datetime.fromtimestamp(due, dt.UTC)


def hold(numbers, due, urgent):
    later = noop.configure(schedule_at=moment(due), priority=10 if urgent else 0)
    later.batch_defer(*({"number": number} for number in numbers))


program = Program(
    enqueue=lambda number: noop.defer(number=number),
    enqueue_many=lambda numbers: noop.batch_defer(*({"number": number} for number in numbers)),
    stamp=lambda number: stamp.defer(number=number),
    stamp_at=lambda number, due: stamp.configure(schedule_at=moment(due)).defer(number=number),
    hold=hold,
    start=app.open,
    end=app.close,
    set_up=lambda: app.schema_manager.apply_schema(),
)
