"""The page of lessons is complete, and every test that it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "lessons.md").read_text("utf-8")
ROW = re.compile(r"^\| (?P<id>[A-Z]?\d+) \| [^|]+ \| [^|]+ \| (?P<tests>[^|]*) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
GROUPS = {"L": 10, "H": 7, "T": 5, "P": 4, "X": 7, "": 25}
ROWS = list(ROW.finditer(PAGE))
IDS = [f"{letter}{number}" for letter, count in GROUPS.items() for number in range(1, count + 1)]


def test_every_lesson_is_on_the_page_once() -> None:
    """In the order in which they were found."""
    assert [row["id"] for row in ROWS] == IDS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_every_test_that_a_lesson_names_exists(row: re.Match[str]) -> None:
    """At least one, and nothing else stands in its place."""
    tests = TEST.findall(row["tests"])
    assert len(tests) == len(row["tests"].split("<br>")) > 0
    for file, name in tests:
        assert f"def {name}(" in (ROOT / file).read_text("utf-8")
