"""What grows is seen, and what only warms up is not called so."""

import os
from collections.abc import Sequence

import pytest

from tests.faults.flatness import Meters, Series, descriptors_of, memory_of


def series(samples: Sequence[float], unit: str = "MB") -> Series:
    """Return a series of one thing."""
    return Series("a process", unit, [*samples])


def test_a_leak_is_seen() -> None:
    """Steady growth of memory; a descriptor for each fault."""
    assert not series([50 + number for number in range(40)]).is_flat
    assert not series([20 + number // 4 for number in range(120)], "descriptors").is_flat


def test_warming_up_and_peaks_are_no_leak() -> None:
    """What rises in the first quarter only; a peak between; too few samples to say."""
    assert series([*range(10), *[50] * 30]).is_flat
    assert series([50] * 30 + [400] + [50] * 9).is_flat
    assert series([1, 100]).is_flat


def test_meters_read_this_process() -> None:
    """An open file more is a descriptor more; a process that is gone has no sample, and stops nothing."""
    meters = Meters()
    meters.add_process("gone", 2**22 + 1)
    meters.add_process("this", os.getpid())
    meters.read()
    with open(os.devnull):  # noqa: PTH123 - a descriptor is what counts
        meters.read()
    found = {(one.what, one.unit): one.samples for one in meters.series()}
    before, after = found["this", "descriptors"]
    assert after == before + 1
    assert found["this", "MB"][0] == pytest.approx(memory_of(os.getpid()), rel=0.5)
    assert found["gone", "MB"] == []
    assert descriptors_of(os.getpid()) > 2
