"""An application with one job: measure a Python file, in one transaction with the job's own finish."""

import ast
import warnings
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, String, Table

from tomqueue import JobContext, TomQueue

DATABASE = Path(__file__).with_name("quickstart.db")
tq = TomQueue(f"sqlite:///{DATABASE}")

metadata = MetaData()
measurements = Table(
    "measurements",
    metadata,
    Column("path", String, primary_key=True),
    Column("lines", Integer, nullable=False),
    Column("functions", Integer, nullable=False),
    Column("classes", Integer, nullable=False),
    Column("longest_function", String),
    Column("longest_lines", Integer, nullable=False),
)


@tq.job(atomic=True, discard_on=(SyntaxError, ValueError))
def measure(ctx: JobContext, path: Path) -> None:
    """Parse a file and keep what it holds. A file that cannot be parsed is no better the next time: discard."""
    source = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source, filename=str(path))
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    longest = max(functions, key=length, default=None)
    ctx.connection.execute(
        measurements.insert().values(
            path=str(path),
            lines=source.count(b"\n"),
            functions=len(functions),
            classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
            longest_function=None if longest is None else longest.name,
            longest_lines=0 if longest is None else length(longest),
        )
    )


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function, decorators left out."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
