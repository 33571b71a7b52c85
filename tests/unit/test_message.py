"""What a message says: encoded, decoded, and nothing trusted."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq.message import BadMessage, decode, encode_body, encode_properties

ids = st.integers(1, 2**63 - 1)
checksums = st.text(max_size=200)
stamps = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
HEADERS = {"stamp": "2030-01-01T00:00:00+00:00"}


@given(st.lists(st.tuples(ids, checksums), min_size=1, max_size=64), stamps)
def test_what_is_encoded_is_decoded(jobs: list[tuple[int, str]], stamp: datetime) -> None:
    """One job or many, to the microsecond of the stamp."""
    sent = [Notification(job_id, "default", 2, stamp, checksum) for job_id, checksum in jobs]
    headers = encode_properties(2, stamp, "1").headers
    assert decode("default", 2, headers, encode_body(sent)) == sent


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_news_or_a_bad_message(body: bytes) -> None:
    """Nothing else comes out."""
    with contextlib.suppress(BadMessage):
        assert all(one.job_id > 0 for one in decode("default", 1, HEADERS, body))


@pytest.mark.parametrize("headers", [None, {}, [], {"stamp": None}, {"stamp": b"x"}, {"stamp": "2030-01-01T00:00:00"}])
def test_a_stamp_is_a_time_with_a_zone(headers: object) -> None:
    """Rows are guarded by it."""
    with pytest.raises(BadMessage, match="stamp"):
        decode("default", 1, headers, b'{"job_id": 1}')


def test_a_large_body_is_not_even_read() -> None:
    """64 jobs take a few kilobytes."""
    with pytest.raises(BadMessage, match="bytes"):
        decode("default", 1, HEADERS, b'{"job_id": 1}' + b" " * 70_000)
