"""An application whose jobs know the request that caused them."""

import os
from pathlib import Path

import layers

from tomqueue import TomQueue

HERE = Path(__file__).parent
tq = TomQueue(
    os.environ.get("TOMQUEUE_DATABASE_URL") or f"sqlite:///{HERE / 'reports.db'}", table_prefix="reports_jobs"
)


def tell(what: str, seconds: float) -> None:
    print(f"[{layers.request_id.get()}] {what}: {seconds * 1000:.1f} ms", flush=True)


layers.install(tq, tell)


@tq.job(name="build")
def build(month: str) -> None:
    mail.enqueue(f"the report of {month}")  # carries the request id on, because the layer has set it here


@tq.job(name="mail")
def mail(subject: str) -> None:
    print(f"[{layers.request_id.get()}] sent {subject}", flush=True)
