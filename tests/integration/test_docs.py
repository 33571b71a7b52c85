"""The documentation does what it says: its Python runs, its files import, its commands parse.

In ``docs/quickstart.md`` every block counts; on the other pages a block counts that stands below ``<!-- run -->``.
A Python block that begins with ``# name.py`` is that file, one with ``# name.py (continued)`` goes on with it, and
any other is a script. The blocks of a page run in their order in one empty folder.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from tomqueue.cli.main import command

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
QUICKSTART = DOCS / "quickstart.md"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^(?P<mark><!-- run -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (?P<name>[\w/]+\.py)(?P<continued> \(continued\))?\n")
CODE_SPAN = re.compile(r"`(tomqueue [^`]+)`")
ENDLESS = {"tomqueue run", "tomqueue work"}
"""Commands that end only when they are told to: their options are parsed, and they are not started."""


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and whether its page wants it run."""

    kind: str
    text: str
    marked: bool


def name_of(page: Path) -> str:
    """Return a page's path in the project."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    """Read the fenced blocks of a page."""
    for found in FENCE.finditer(page.read_text("utf-8")):
        yield Block(found["kind"], found["text"], marked=page == QUICKSTART or found["mark"] is not None)


def commands_in(text: str) -> Iterator[list[str]]:
    """Read the arguments of every ``$ tomqueue …`` in a block; pipes, redirections and remarks are left out."""
    for line in text.splitlines():
        if not line.startswith("$ tomqueue "):
            continue  # what a command wrote need not parse
        words = shlex.split(re.split(r" [|>&] ?", line)[0], comments=True)
        yield words[2:]


def command_of(args: list[str]) -> click.Context:
    """Parse a command line down to its last command, and run nothing. Raises ClickException."""
    context = command.make_context("tomqueue", list(args))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = context.command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, rest, parent=context)
    return context


def run(folder: Path, *words: str) -> str:
    """Run Python in a page's folder and return what it wrote; fail with that unless it succeeds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOMQUEUE_")}
    environment["TOMQUEUE_APP"] = "shop:tq"  # as the pages say
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    wrote = done.stdout + done.stderr
    assert done.returncode == 0, f"{shlex.join(words)}\n{wrote}"
    return wrote


def run_python(folder: Path, text: str) -> None:
    """Write the file that a block is, or run the block."""
    head = FILE.match(text)
    path = folder / (head["name"] if head else "script.py")
    before = path.read_text("utf-8") if head and head["continued"] else ""
    path.write_text(before + text, "utf-8")
    run(folder, *(["-c", f"import {path.stem}"] if head else [path.name]))


def run_commands(folder: Path, text: str) -> None:
    """Run the commands of a block that end by themselves; they write what is printed below them."""
    wrote = ""
    for args in commands_in(text):
        if command_of(args).command_path not in ENDLESS:
            wrote += run(folder, "-m", "tomqueue", *args)
    for line in text.splitlines():
        assert line.startswith("$ ") or line in wrote, f"nothing wrote {line!r}:\n{wrote}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.marked for b in blocks_of(page))], ids=name_of)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """Each one exactly as it is printed."""
    for block in [block for block in blocks_of(page) if block.marked]:
        if block.kind == "python":
            run_python(tmp_path, block.text)
        elif block.kind == "console":
            run_commands(tmp_path, block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    """With the options that it shows, in blocks and in the text."""
    shown = [args for block in blocks_of(page) for args in commands_in(block.text)]
    spans = CODE_SPAN.findall(page.read_text("utf-8"))
    shown += [shlex.split(span.replace(" ID", " 1"))[1:] for span in spans if "…" not in span]
    for args in shown:
        try:
            command_of(args)
        except click.ClickException as error:
            pytest.fail(f"{page.name} shows `tomqueue {shlex.join(args)}`: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links to files of the project, from each page."""
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert link.startswith("http") or (page.parent / link).exists(), f"{page.name} links to {link}"
