"""How long the end of a job is kept: what a declaration and the settings say, as columns of its row."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from tomqueue.definition import Options, seconds_of
from tomqueue.store.base import FOR_GOOD

__all__ = ["Kept"]

MICROSECONDS = 1_000_000
NO_TIES: Mapping[str, Any] = MappingProxyType({})


class Kept:
    """Knows how long the setting ``keep_completed`` keeps the history of a job that says nothing, in seconds."""

    def __init__(self, usual: float) -> None:
        self._usual = usual

    def ties(self, options: Options) -> Mapping[str, Any]:
        """Return the columns of a job's row that tie it to its result and its history; none for most jobs."""
        keep = self._usual if options.keep_completed is None else options.keep_completed
        if options.result_ttl is None and not keep:
            return NO_TIES
        ties: dict[str, Any] = {}
        if options.result_ttl is not None:
            ties["result_ttl"] = micros(options.result_ttl)
        if keep:
            ties["keep_completed"] = FOR_GOOD if keep is True else micros(keep)
        return ties


def micros(duration: float | timedelta) -> int:
    """Return a duration (seconds or timedelta) in microseconds."""
    return round(seconds_of(duration) * MICROSECONDS)
