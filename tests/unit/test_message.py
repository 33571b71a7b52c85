"""What a message says: encoded, decoded, and nothing trusted."""

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.news import STAMP
from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq.message import BadMessage, decode, encode_body, encode_properties

ids = st.integers(1, 2**63 - 1)
checksums = st.text(max_size=200)
stamps = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
afters = st.timedeltas(timedelta(0), timedelta(days=365))
HEADERS = {"stamp": "2030-01-01T00:00:00+00:00"}


@given(st.lists(st.tuples(ids, checksums, afters), min_size=1, max_size=64), stamps)
def test_what_is_encoded_is_decoded(jobs: list[tuple[int, str, timedelta]], stamp: datetime) -> None:
    """One job or many, each with its own stamp, to the microsecond; the message's is the oldest of them."""
    oldest = min(after for _, _, after in jobs)
    sent = [Notification(job_id, "default", 2, stamp + after - oldest, checksum) for job_id, checksum, after in jobs]
    headers = encode_properties(2, stamp, "1").headers
    assert decode("default", 2, headers, encode_body(sent, stamp)) == sent


def test_jobs_of_one_stamp_cost_no_more() -> None:
    """What was announced together, as many at once are, says its stamp once."""
    sent = [Notification(job_id, "default", 2, STAMP, "v1:x") for job_id in (7, 8)]
    assert encode_body(sent, STAMP) == b'{"jobs":[[7,"v1:x"],[8,"v1:x"]]}'


@pytest.mark.parametrize("after", [-1, 10**15 + 1, "1", 0.5, None])
def test_a_stamp_is_no_earlier_than_its_messages(after: object) -> None:
    """Nor centuries later, nor anything but a number."""
    body = json.dumps({"jobs": [[1, "", after]]}).encode()
    with pytest.raises(BadMessage):
        decode("default", 1, HEADERS, body)


def test_a_stamp_beyond_all_calendars_is_refused() -> None:
    """The last year is 9999."""
    with pytest.raises(BadMessage, match="9999"):
        decode("default", 1, {"stamp": "9999-12-31T23:59:59+00:00"}, b'{"jobs": [[1, "", 2000000]]}')


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
