"""Measure the standard library: one job a file, worked off by a supervisor with two workers."""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import click
from app import DATABASE, measure, measurements, metadata, tq
from sqlalchemy import Connection, create_engine, func, select

from tomqueue import State

HERE = Path(__file__).parent
WORKERS = 2


def main() -> int:
    start_clean()
    files = sorted(python_files())
    print(f"Enqueueing one job for each of {len(files):,} Python files into {DATABASE.name} …")
    tq.enqueue_many(measure.prepare(path) for path in files)
    began = time.monotonic()
    command = [sys.executable, "-m", "tomqueue", "--app", "app:tq", "--log-level", "critical", "workoff"]
    with subprocess.Popen([*command, "--processes", str(WORKERS)], cwd=HERE) as supervisor:
        watch(supervisor, len(files))
    if supervisor.returncode == 0:
        report(len(files), time.monotonic() - began)
    return supervisor.returncode


def start_clean() -> None:
    for leftover in HERE.glob(f"{DATABASE.name}*"):
        leftover.unlink()
    engine = create_engine(tq.settings.database_url)
    metadata.create_all(engine)
    engine.dispose()


def python_files() -> Iterator[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in library.rglob("*.py"):
        if not {"site-packages", "dist-packages"} & set(path.parts):
            yield path
    yield from (HERE / "broken").glob("*.py")


def watch(supervisor: "subprocess.Popen[bytes]", total: int) -> None:
    """Show how many jobs have ended, until the supervisor ends."""
    with click.progressbar(length=total, label=f"{WORKERS} workers", show_pos=True) as bar:
        while True:
            running = supervisor.poll() is None
            ended = total - tq.jobs.count() + tq.jobs.count(state=State.FAILED)
            bar.update(ended - bar.pos)
            if not running:
                return
            time.sleep(0.1)


def report(total: int, seconds: float) -> None:
    engine = create_engine(tq.settings.database_url)
    with engine.connect() as connection:
        print_done(connection, total, seconds)
        print_failed()
        print_longest(connection)
    engine.dispose()
    command = os.path.relpath(Path(sys.executable).with_name("tomqueue"), HERE)
    print(f"\nWhere to look next:\n  cd {os.path.relpath(HERE)}")
    print(f"  {command} --app app:tq jobs list --failed    the jobs that are kept because they failed")
    print(f"  {command} --app app:tq jobs show ID          one of them, with its error")
    print(f"  {command} --app app:tq explain ID            why it is not running")
    print(f"  {command} --app app:tq stats                 what was done, by queue")


def print_done(connection: Connection, total: int, seconds: float) -> None:
    files, lines, functions, classes = connection.execute(
        select(
            func.count(),
            func.sum(measurements.c.lines),
            func.sum(measurements.c.functions),
            func.sum(measurements.c.classes),
        )
    ).one()
    failed = tq.jobs.count(state=State.FAILED)
    print(f"\nDone {files:,}   failed {failed:,}   of {total:,} jobs in {seconds:.1f} s: {total / seconds:,.0f} jobs/s")
    print(f"Found {lines:,} lines, {functions:,} functions, {classes:,} classes")


def print_failed() -> None:
    print("\nCould not be parsed:")
    for job in tq.jobs.list(state=State.FAILED, limit=None):
        reason = (job.last_error or "").strip().splitlines()[-1]
        print(f"  {job.id:>6}  {shortened(Path(job.arguments['path']))}\n          {reason[:100]}")


def print_longest(connection: Connection) -> None:
    print("\nThe ten longest functions:")
    statement = select(measurements).order_by(measurements.c.longest_lines.desc()).limit(10)
    for row in connection.execute(statement):
        print(f"  {row.longest_lines:>6} lines  {row.longest_function:<32} {shortened(Path(row.path))}")


def shortened(path: Path) -> str:
    for root in (Path(sysconfig.get_path("stdlib")), HERE):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
