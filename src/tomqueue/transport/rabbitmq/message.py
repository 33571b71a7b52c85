"""A message and what it says. Bodies come from outside: data, never trusted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import pika

from tomqueue.priority import Priority
from tomqueue.transport.base import Notification

__all__ = ["MOST_JOBS", "BadMessage", "decode", "encode_body", "encode_properties"]

MOST_JOBS = 64
"""Jobs that one message may name."""
MOST_BYTES = 64 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

JobId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Checksum = Annotated[str, msgspec.Meta(max_length=200)]


class BadMessage(Exception):
    """The message is not one of ours, or damaged."""


class One(msgspec.Struct):
    """The body about one job."""

    job_id: JobId
    checksum: Checksum = ""


class Entry(msgspec.Struct, array_like=True):
    """One of several jobs."""

    job_id: JobId
    checksum: Checksum
    after: Annotated[int, msgspec.Meta(ge=0, le=10**15)] = 0
    """Microseconds from the message's stamp to the job's own."""


class Body(msgspec.Struct):
    """Either body."""

    job_id: JobId | None = None
    checksum: Checksum = ""
    jobs: Annotated[list[Entry], msgspec.Meta(min_length=1, max_length=MOST_JOBS)] | None = None


class Many(msgspec.Struct):
    """The body about several jobs of one queue and priority."""

    jobs: list[tuple[int | str, ...]]


decode_body = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode


def encode_body(notifications: Sequence[Notification], stamp: datetime) -> bytes:
    """Return the body about jobs of one queue and priority, none of which was announced before ``stamp``."""
    if len(notifications) == 1:
        return encode(One(notifications[0].job_id, notifications[0].checksum))
    return encode(Many([entry_of(one, stamp) for one in notifications]))


def entry_of(news: Notification, stamp: datetime) -> tuple[int | str, ...]:
    """Return what one of several jobs becomes: what was announced by the message's stamp does not repeat it."""
    if news.stamp == stamp:
        return news.job_id, news.checksum
    return news.job_id, news.checksum, (news.stamp - stamp) // MICROSECOND


def encode_properties(priority: int, stamp: datetime, message_id: str) -> pika.BasicProperties:
    """Return what stands beside the body. AMQP's own timestamp knows only seconds, so the stamp is a header."""
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=2,  # persistent
        timestamp=int((stamp - EPOCH).total_seconds()),
        message_id=message_id,
        headers={"priority": str(Priority.of_rank(priority)), "stamp": stamp.isoformat()},
    )


def decode(queue: str, priority: int, headers: object, body: bytes) -> list[Notification]:
    """Return the news that a message from a queue carries; raise BadMessage if it is no news."""
    if len(body) > MOST_BYTES:
        raise BadMessage(f"its body has {len(body)} bytes")
    stamp = decode_stamp(headers)
    try:
        said = decode_body(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadMessage(f"its body cannot be read: {error}") from error
    if said.job_id is not None and said.jobs is None:
        return [Notification(said.job_id, queue, priority, stamp, said.checksum)]
    if said.jobs is not None and said.job_id is None:
        return [Notification(one.job_id, queue, priority, later(stamp, one.after), one.checksum) for one in said.jobs]
    raise BadMessage("its body has neither job_id nor jobs, or both")


def later(stamp: datetime, micros: int) -> datetime:
    """Return the moment so many microseconds after ``stamp``."""
    if not micros:
        return stamp
    try:
        return stamp + micros * MICROSECOND
    except OverflowError as error:
        raise BadMessage("a stamp in its body is beyond the year 9999") from error


def decode_stamp(headers: object) -> datetime:
    """Return the stamp by which the rows were announced, the oldest of them where they differ."""
    text = headers.get("stamp") if isinstance(headers, dict) else None
    try:
        stamp = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        stamp = None
    if stamp is None or stamp.tzinfo is None:
        raise BadMessage("its header stamp is no time with a zone")
    return stamp
