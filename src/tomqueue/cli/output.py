"""What the command prints: text that cannot steer a terminal, JSON for programs, tables for people."""

import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import click
import msgspec

__all__ = ["Column", "one_line", "plain", "print_json", "print_json_array", "print_pairs", "print_table", "progress"]

ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
GAP = 2
NARROWEST = 8
"""A column is never cut to less."""
FITTED = 500
"""So many rows decide how wide the columns of a table are; what follows is printed as it is read."""


# Text ---------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Return ``text`` without escape sequences, control characters (but line breaks) and text direction marks."""
    return "".join(char for char in ESCAPE.sub("", text) if char == "\n" or is_plain(char))


def is_plain(char: str) -> bool:
    """Say whether a character is only a character: no control, format, surrogate."""
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs"}


def one_line(text: str) -> str:
    """Return ``text`` on one line and without what could steer a terminal."""
    return plain(" ".join(text.split()))


def width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return sum(columns_of(char) for char in text)


def columns_of(char: str) -> int:
    """Return how many columns a character takes: none when it stands on the one before, two in East Asian scripts."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, most: int, *, keep_end: bool) -> str:
    """Return ``text`` in at most ``most`` columns, with an ellipsis where something is left out."""
    if width(text) <= most:
        return text
    kept, room = "", most - 1
    for char in reversed(text) if keep_end else text:
        room -= columns_of(char)
        if room < 0:
            break
        kept = char + kept if keep_end else kept + char
    return f"…{kept}" if keep_end else f"{kept}…"


# JSON ---------------------------------------------------------------------------------------------------


def print_json(value: Any) -> None:
    """Print one object."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)))


def print_json_array(values: Iterable[Any]) -> None:
    """Print one array, an object a line, as they come."""
    before = "["
    for value in values:
        click.echo(f"{before}{msgspec.json.encode(value).decode()}", nl=False)
        before = ",\n"
    click.echo("[]" if before == "[" else "]")


# Tables -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table. An ``elastic`` one is cut where the table is too wide for the terminal."""

    title: str
    right: bool = False
    elastic: bool = False
    keep_end: bool = False
    """Cut at the beginning: the end of a dotted name tells more."""

    def cell(self, text: str, size: int) -> str:
        """Return ``text`` as wide as the column."""
        if self.elastic:
            text = cut(text, size, keep_end=self.keep_end)
        space = " " * (size - width(text))
        return space + text if self.right else text + space


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under their titles, as wide as the terminal at most; ``empty`` where there are none."""
    lines = ([one_line(cell) for cell in row] for row in rows)
    first = list(islice(lines, FITTED))
    if not first:
        click.echo(empty)
        return
    titles = [column.title for column in columns]
    sizes = fitted(columns, [titles, *first], shutil.get_terminal_size().columns)
    for line in chain([titles], first, lines):
        cells = [column.cell(text, size) for column, text, size in zip(columns, line, sizes, strict=True)]
        click.echo((" " * GAP).join(cells).rstrip())


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], most: int) -> list[int]:
    """Return how wide each column is; the widest elastic one gives way first."""
    sizes = [max(width(row[place]) for row in rows) for place in range(len(columns))]
    for _ in range(sum(sizes) + GAP * (len(columns) - 1) - most):
        elastic = [place for place, column in enumerate(columns) if column.elastic and sizes[place] > NARROWEST]
        if not elastic:
            break
        sizes[max(elastic, key=lambda place: sizes[place])] -= 1
    return sizes


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print a label and its text on each line; what has several lines begins below its label, indented."""
    lines = [(label, plain(text).strip()) for label, text in pairs]
    size = max(len(label) for label, _ in lines) + GAP
    for label, text in lines:
        if "\n" in text:
            click.echo(label)
            click.echo("\n".join(f"    {line}" for line in text.splitlines()))
        else:
            click.echo(f"{label:{size}}{text}")


# Progress -----------------------------------------------------------------------------------------------


@contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], object]]:
    """Give a function that tells of so many more steps done; there is a bar only where a person sees it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        yield bar.update
