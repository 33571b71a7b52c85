"""What a hostile network does to messages: pure, and the same again with the same seed."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.news import ids_in

__all__ = ["Malice", "Odds", "Parcel"]

HUGE = 200_000
FAR = 2**63


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way to a queue of the broker, that arrives after ``seconds``."""

    queue: str
    body: bytes
    headers: dict[str, Any] | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """How probable each mischief is, for each message."""

    drop: float = 0.2
    double: float = 0.2
    delay: float = 0.4
    shatter: float = 0.2
    """It arrives as many messages, about one job each, in any order."""
    corrupt: float = 0.2
    forge: float = 0.2
    """Another message, made up, arrives beside it."""
    longest_delay: float = 3.0


class Malice:
    """Turns each message into what arrives of it. ``queues`` are all that it may send to; ``counts`` what it did."""

    def __init__(self, queues: Sequence[str], seed: int, odds: Odds | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._queues = queues
        self._odds = odds or Odds()
        self._random = random.Random(seed)
        self._seen: list[int] = [1]

    def happens(self, name: str, probability: float) -> bool:
        """Decide, and count it."""
        happens = self._random.random() < probability
        self.counts[name] += happens
        return happens

    def treat(self, parcel: Parcel) -> list[Parcel]:
        """Return what arrives of a message."""
        self._remember(parcel.body)
        arrives = [] if self.happens("dropped", self._odds.drop) else [parcel]
        if self.happens("doubled", self._odds.double):
            arrives = arrives * 2
        if self.happens("shattered", self._odds.shatter):
            arrives = [piece for whole in arrives for piece in pieces(whole)]
            self._random.shuffle(arrives)
        arrives = [self._corrupted(one) if self.happens("corrupted", self._odds.corrupt) else one for one in arrives]
        if self.happens("forged", self._odds.forge):
            arrives.append(self._corrupted(parcel))
        return [self._delayed(one) for one in arrives]

    def _remember(self, body: bytes) -> None:
        self._seen = [*self._seen[-1000:], *ids_in(body)]

    def _delayed(self, parcel: Parcel) -> Parcel:
        if not self.happens("delayed", self._odds.delay):
            return parcel
        return replace(parcel, seconds=self._random.uniform(0.0, self._odds.longest_delay))

    def _corrupted(self, parcel: Parcel) -> Parcel:
        name, change = self._random.choice(CORRUPTIONS)
        self.counts[name] += 1
        return change(self, parcel)

    def some_id(self) -> int:
        """Return the id of a job that there was, is, or will be, or never was because it was rolled back."""
        return max(1, self._random.choice(self._seen) + self._random.randint(-50, 50))

    def other_queue(self) -> str:
        """Return any queue."""
        return self._random.choice(self._queues)

    def noise(self, length: int) -> bytes:
        """Return bytes that mean nothing."""
        return self._random.randbytes(length)


def pieces(parcel: Parcel) -> Iterator[Parcel]:
    """Break a message about many jobs into messages about one."""
    said = json.loads(parcel.body)
    for entry in said.get("jobs", [[said.get("job_id"), said.get("checksum", "")]]):
        yield replace(parcel, body=encoded({"jobs": [entry]}))


def encoded(said: object) -> bytes:
    """Return a body that says so."""
    return json.dumps(said).encode()


def of_job(malice: Malice, parcel: Parcel, checksum: str = "") -> Parcel:
    """Return news of another job."""
    return replace(parcel, body=encoded({"job_id": malice.some_id(), "checksum": checksum}))


def with_stamp(parcel: Parcel, stamp: object) -> Parcel:
    """Return the same news with another stamp."""
    return replace(parcel, headers={**(parcel.headers or {}), "stamp": stamp})


CORRUPTIONS: list[tuple[str, Callable[[Malice, Parcel], Parcel]]] = [
    ("garbage", lambda malice, parcel: replace(parcel, body=malice.noise(64))),
    ("empty", lambda _malice, parcel: replace(parcel, body=b"")),
    ("cut off", lambda _malice, parcel: replace(parcel, body=parcel.body[: len(parcel.body) // 2])),
    ("huge", lambda malice, parcel: replace(parcel, body=malice.noise(HUGE))),
    ("deep", lambda _malice, parcel: replace(parcel, body=b"[" * 50_000)),
    ("pickle", lambda _malice, parcel: replace(parcel, body=b"cos\nsystem\n(S'exit 1'\ntR.")),
    ("no object", lambda _malice, parcel: replace(parcel, body=b"17")),
    ("foreign fields", lambda _malice, parcel: replace(parcel, body=encoded({"task": "x", "args": []}))),
    ("too many", lambda malice, parcel: replace(parcel, body=encoded({"jobs": [[malice.some_id(), ""]] * 65}))),
    ("id of nothing", lambda _malice, parcel: replace(parcel, body=encoded({"job_id": FAR - 1}))),
    ("id out of range", lambda _malice, parcel: replace(parcel, body=encoded({"job_id": FAR}))),
    ("negative id", lambda _malice, parcel: replace(parcel, body=encoded({"job_id": -1}))),
    ("other id", of_job),
    ("wrong checksum", lambda malice, parcel: of_job(malice, parcel, "v1:0123456789abcdef")),
    ("foreign version", lambda malice, parcel: of_job(malice, parcel, "v9:whatever")),
    ("same job twice", lambda malice, parcel: replace(parcel, body=encoded({"jobs": [[malice.some_id(), ""]] * 9}))),
    ("wrong queue", lambda malice, parcel: replace(parcel, queue=malice.other_queue())),
    ("no headers", lambda _malice, parcel: replace(parcel, headers=None)),
    ("old stamp", lambda _malice, parcel: with_stamp(parcel, "2001-01-01T00:00:00+00:00")),
    ("future stamp", lambda _malice, parcel: with_stamp(parcel, "2090-01-01T00:00:00+00:00")),
    ("stamp without zone", lambda _malice, parcel: with_stamp(parcel, "2026-01-01T00:00:00")),
    ("stamp no text", lambda _malice, parcel: with_stamp(parcel, 17)),
]
