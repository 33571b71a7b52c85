"""When a periodic job runs: its ticks, and what becomes of those that nobody was there for. Pure.

Cron lines are read by cronsim, which does as Debian's cron does where clocks are changed.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from cronsim import CronSim, CronSimError

from tomqueue.definition.options import Options, number_problem, seconds_of
from tomqueue.errors import DefinitionError

__all__ = ["Misfire", "Schedule", "Tick", "Turn", "check_needs_nothing", "schedule_of", "turn_of"]

SHORTEST = 1.0
"""Seconds between two ticks at least: workers look once a second."""
LONGEST_TEXT = 200
"""Characters of a cron line: as long as its column."""
MISSED_AFTER = timedelta(seconds=60)
"""A tick that is later than this was missed; less is a restart, or a busy database."""
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
"""A cron line that never fires from here on never does: it is a leap year."""


class Misfire(StrEnum):
    """What becomes of ticks that were missed because nothing ran."""

    SKIP = "skip"
    """Nothing: the next one counts."""
    ONCE = "once"
    """One job stands for all of them."""
    ALL = "all"
    """Each becomes a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The ticks of a periodic job: those of a cron line in a time zone, or one ``every`` so often."""

    cron: str | None = None
    timezone: str | None = None
    every: timedelta | None = None
    misfire: Misfire = Misfire.ONCE

    def after(self, moment: datetime, anchor: datetime) -> datetime:
        """Return the first tick after ``moment``, in UTC; ``every`` counts from ``anchor``, which is one of them.

        Raises ValueError where the stored text is no schedule.
        """
        if self.every is not None:
            return anchor + self.every * ((moment - anchor) // self.every + 1)
        here = moment.astimezone(zone_of(self.timezone or "UTC"))
        try:
            # compared in UTC: within a zone Python compares what the clock on the wall shows, and some days it
            # shows an hour twice. A line with fixed hours is read from there too, and may begin in the past.
            ticks = (tick.astimezone(UTC) for tick in CronSim(self.cron or "", here))
            return next(tick for tick in ticks if tick > moment)
        except CronSimError as error:
            raise ValueError(f"is no cron line ({error}): it looks like */5 * * * *") from error
        except StopIteration:
            raise ValueError("never fires: no such day exists") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The tick that a job was enqueued for."""

    schedule: str
    at: datetime

    def within(self, meta: str | None) -> str:
        """Return a job's ``meta`` with this in it; one that is no JSON object stays as a layer has written it."""
        try:
            theirs = msgspec.json.decode(meta or "{}", type=dict[str, Any])
        except (ValueError, RecursionError):
            return meta or ""
        return msgspec.json.encode({**theirs, "schedule": self.schedule, "tick": self.at}).decode()

    @classmethod
    def of_meta(cls, meta: str | None) -> "Tick | None":
        """Return the tick that a row tells of; None where it tells of none."""
        try:
            told = msgspec.json.decode(meta or "", type=Told)
        except (ValueError, RecursionError):  # rows are data: what a layer wrote there is its own
            return None
        return cls(schedule=told.schedule, at=told.tick)


class Told(msgspec.Struct):
    """What ``Tick.within`` writes."""

    schedule: str
    tick: datetime


class Turn(NamedTuple):
    """What is to be done about a schedule that is due: these ticks become a job each, and ``following`` is the next."""

    ticks: list[datetime]
    following: datetime

    def earlier(self, by: timedelta) -> "Turn":
        """Return it as rows say it that were moved so much toward the past."""
        return Turn([tick - by for tick in self.ticks], self.following - by)


def turn_of(schedule: Schedule, due: datetime, now: datetime, most: int) -> Turn:
    """Say what is to be done about the ticks from ``due`` to ``now``, ``most`` of them at once at most."""
    if schedule.misfire is Misfire.ALL:
        ticks = [due]
        following = schedule.after(due, due)
        while following <= now and len(ticks) < most:
            ticks.append(following)
            following = schedule.after(following, due)
        return Turn(ticks, following)
    following = schedule.after(now, due)
    tick = due
    if schedule.misfire is Misfire.SKIP and now - due > MISSED_AFTER:
        tick = schedule.after(now - MISSED_AFTER, due)
    return Turn([tick] if tick <= now else [], following)


def schedule_of(job_name: str, options: Options) -> Schedule | None:
    """Return the schedule that a declaration says, if any; raise DefinitionError that names what cannot work."""
    problems = {
        "cron": cron_problem(options.cron),
        "every": every_problem(options),
        "timezone": zone_problem(options),
        "misfire": misfire_problem(options),
    }
    for option, problem in problems.items():
        if problem:
            raise DefinitionError(f"{job_name}: {option}={getattr(options, option)!r} {problem}")
    misfire = Misfire(options.misfire or Misfire.ONCE)
    if options.every is not None:
        return Schedule(every=timedelta(seconds=seconds_of(options.every)), misfire=misfire)
    if options.cron is not None:
        return Schedule(cron=" ".join(options.cron.split()), timezone=options.timezone or "UTC", misfire=misfire)
    return None


def check_needs_nothing(job_name: str, call: Callable[..., Any], *, given: int = 0) -> None:
    """Raise DefinitionError if ``call`` needs more than the ``given`` arguments: a tick brings none."""
    try:
        inspect.signature(call).bind(*range(given))
    except TypeError as error:
        raise DefinitionError(
            f"{job_name}: a periodic job (cron= or every=) is called without arguments, and this one cannot be "
            f"({error}): give a default to each"
        ) from error


def cron_problem(cron: object) -> str:
    """Say why ``cron`` is no cron line; empty if it is, or is None."""
    if cron is None:
        return ""
    if not isinstance(cron, str):
        return "must be a str such as '*/5 * * * *'"
    if len(cron) > LONGEST_TEXT:
        return f"is longer than {LONGEST_TEXT} characters"
    try:
        Schedule(cron=cron).after(SINCE, SINCE)
    except ValueError as error:
        return str(error)
    return ""


def every_problem(options: Options) -> str:
    """Say why ``every`` gives no ticks; empty if it does, or is None."""
    if options.every is not None and options.cron is not None:
        return "and cron= are both given: give one of them"
    return number_problem(options.every, least=SHORTEST)


def zone_problem(options: Options) -> str:
    """Say why ``timezone`` is none, or not asked for; empty if it is, or is None."""
    if options.timezone is None:
        return ""
    if options.cron is None:
        return "says nothing without cron="
    name: object = options.timezone
    if not isinstance(name, str):
        return "must be a str such as 'Europe/Berlin'"
    try:
        zone_of(name)
    except ValueError as error:
        return str(error)
    return ""


def misfire_problem(options: Options) -> str:
    """Say why ``misfire`` is no policy, or not asked for; empty if it is, or is None."""
    if options.misfire is None:
        return ""
    if options.cron is None and options.every is None:
        return "says nothing without cron= or every="
    return "" if options.misfire in list(Misfire) else f"is unknown: use one of {', '.join(Misfire)}"


def zone_of(name: str) -> tzinfo:
    """Return the time zone that is called ``name``. Raises ValueError that says what to do."""
    if name == "UTC":
        return UTC  # needs no data base of time zones
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no relative path, a folder
        known = available_timezones()
    if not known:
        raise ValueError("is unknown here, as all time zones are: pip install tzdata")
    near = get_close_matches(name, known, n=1)
    raise ValueError(f"is no time zone: {f'did you mean {near[0]!r}?' if near else 'use one such as Europe/Berlin'}")
