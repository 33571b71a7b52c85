"""The place of the tables in docs/explanation/performance.md."""

import re
from pathlib import Path

__all__ = ["PAGE", "insert"]

PAGE = Path(__file__).parents[2] / "docs/explanation/performance.md"
BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- benchmarks: end -->"


def insert(page: str, what: str) -> str:
    """Return a page with ``what`` between the markers, in place of what was there."""
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no place for the tables: {BEGIN} … {END}")
    return pattern.sub(lambda _found: f"{BEGIN}\n{what}\n{END}", page)
