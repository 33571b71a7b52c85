"""Ids that people give: one database would take a text for the number that it begins with, another refuse it."""

from tomqueue.errors import SettingsError

__all__ = ["checked_id"]

LARGEST = 2**63 - 1


def checked_id(value: object, what: str = "job_id") -> int:
    """Return an id as it was given. Raises SettingsError for what can be none, such as the text of one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError(f"{what}={value!r} must be a whole number, not {type(value).__name__}")
    if value > LARGEST:
        raise SettingsError(f"{what}={value!r} must be at most {LARGEST}")
    return value
