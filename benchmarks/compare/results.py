"""The file of results: one JSON object a line, so that runs can be added and tables made again."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Record", "append", "grouped", "read"]

Record = Mapping[str, Any]
"""scenario, contender, case, its place in the table, against, round, run; then jobs, figures and samples, or, where
there are none, why: refused."""


def append(file: Path, record: Record) -> None:
    """Add one result."""
    with file.open("a") as lines:
        lines.write(json.dumps(record) + "\n")


def read(files: Iterable[Path]) -> Iterator[Record]:
    """Return every result of some files."""
    for file in files:
        yield from map(json.loads, file.read_text().splitlines())


def grouped(records: Iterable[Record], scenario: str) -> dict[tuple[str, str], Sequence[Record]]:
    """Return the results of a scenario by contender and case, a result of each round."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record["scenario"] == scenario:
            groups.setdefault((record["contender"], record["case"]), []).append(record)
    return dict(groups)
