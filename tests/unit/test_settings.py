"""Settings: arguments before environment before defaults, checked in one place."""

from typing import Any

import pytest

from tomqueue import TomQueue
from tomqueue.errors import SettingsError
from tomqueue.settings import Settings, check_name, read_settings


def test_arguments_go_before_the_environment() -> None:
    """None is not given; text of the environment becomes the type of its setting."""
    environment = {"TOMQUEUE_MAX_ATTEMPTS": "3", "TOMQUEUE_LEASE": "60.5", "TOMQUEUE_DELETE_FAILED_JOBS": "true"}
    found = read_settings(environment, max_attempts=5, lease=None, table_prefix=None)
    assert (found.max_attempts, found.lease, found.delete_failed_jobs, found.table_prefix) == (
        5,
        60.5,
        True,
        "tomqueue",
    )
    assert read_settings({}) == Settings()


def test_no_view_of_them_shows_a_password() -> None:
    """Neither Python's nor that of rich, which looks into Structs."""
    found = read_settings({}, database_url="sqlite:///hunter2", encryption_keys="hunter2")
    assert "database_url=***" in repr(found)
    assert "hunter2" not in f"{found!r}{found.__rich_repr__()}"


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another is given; what is no setting is left alone."""
    monkeypatch.setenv("TOMQUEUE_DATABASE_URL", "sqlite:///x.db")
    monkeypatch.setenv("TOMQUEUE_TEST_SOMETHING", "1")
    assert read_settings().database_url == "sqlite:///x.db"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_attemps": 3}, "no setting is called 'max_attemps'; there are .*max_attempts"),
        ({"max_attempts": "many"}, "max_attempts"),
        ({"max_attempts": 0}, "max_attempts=0 must be greater than 0"),
        ({"grace": -1}, "grace=-1.0 must be greater than 0"),
        ({"heartbeat": 0}, "heartbeat"),
        ({"max_batch": 0}, "max_batch"),
        ({"max_payload_bytes": 0}, "max_payload_bytes"),
        ({"max_crashes": 0}, "max_crashes"),
        ({"max_run_time": 0}, "max_run_time"),
        ({"max_run_time": float("nan")}, "max_run_time=nan must be greater than 0"),
        ({"poll_interval": 0}, "poll_interval=0.0 must be greater than 0"),
        ({"server_poll_interval": -1}, "server_poll_interval"),
        ({"batch_seconds": 0}, "batch_seconds"),
        ({"backoff_cap": -1}, "backoff_cap=-1.0 must be at least 0"),
        ({"backoff_jitter": -0.1}, "backoff_jitter"),
        ({"database_timeout": -1}, "database_timeout"),
        ({"keep_completed": 1e12}, r"keep_completed=1000000000000.0 must be at most 3155760000 \(a hundred years\)"),
        ({"max_run_time": float("inf")}, "max_run_time=inf must be at most"),
        ({"lease": 1.0, "heartbeat": 0.5}, "lease=1.0 must be more than heartbeat=0.5 and a second"),
        ({"lease": 9.0, "heartbeat": 5.0}, "lease=9.0 must be at least twice heartbeat=5.0"),
        ({"table_prefix": "a-b"}, "table_prefix='a-b' must match"),
        ({"schema": "x; DROP TABLE"}, "schema="),
        ({"default_queue": "no spaces"}, "default_queue='no spaces' must match"),
        ({"sqlite_synchronous": "OFF"}, "use FULL, EXTRA or NORMAL"),
    ],
)
def test_a_wrong_setting_is_named(arguments: dict[str, Any], message: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(SettingsError, match=message):
        read_settings({}, **arguments)


@pytest.mark.parametrize("name", ["a", "mail.er-s_9", "x" * 100])
def test_good_names(name: str) -> None:
    """Letters, digits and three signs, up to a hundred."""
    assert check_name("queue", name) == name


@pytest.mark.parametrize("name", ["", "x" * 101, "a b", "a\n", "é", "a/b", "a\x00"])
def test_bad_names(name: str) -> None:
    """Anything else is refused, also a line feed at the end."""
    with pytest.raises(SettingsError, match="queue="):
        check_name("queue", name)


def test_an_unknown_default_priority_is_refused_at_once() -> None:
    """It is not the first enqueue that finds it."""
    with pytest.raises(SettingsError, match="default_priority='urgent' is unknown: use one of high"):
        TomQueue("sqlite:///jobs.db", default_priority="urgent")
