"""The command with nothing but the URL of a database server."""

from typing import Any

import pytest

from tomqueue import TomQueue
from tomqueue.store.schema import SCHEMA_VERSION


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_a_server_is_looked_at_and_changed_as_a_file_is(cli: Any, server: str, request: pytest.FixtureRequest) -> None:
    """From the missing tables to the last job deleted, with no application."""
    url = request.getfixturevalue(server)

    def run(*arguments: str, code: int = 0) -> str:
        out: str = cli.bare("--database-url", url, *arguments, code=code)
        return out

    assert "run `tomqueue migrate`" in run("check", code=1)
    run("jobs", "list", code=1)
    assert "tomqueue migrate" in cli.stderr
    assert run("migrate").endswith(f"created the tables (version {SCHEMA_VERSION})\n")
    tq = TomQueue(url)
    resize = tq.job(name="resize")(lambda path: None)
    ids = [resize.enqueue(path).id for path in ("cat.png", "dog.png")]
    tq.close()
    assert "no live worker serves default (2 ready)" in run("check", code=1)
    assert "1 ready job of its queue goes first" in run("explain", str(ids[1]))
    assert '"path": "cat.png"' in run("jobs", "show", str(ids[0]), "--show-arguments")
    assert len(run("jobs", "list", "--ready", "--older-than", "0s").splitlines()) == 1 + 2
    assert run("jobs", "cancel", "--all", "--yes") == "cancelled 2 jobs\n"
    assert run("jobs", "retry", str(ids[0])) == f"retried job {ids[0]}\n"
    run("queues", "pause", "default")
    assert "ago" in run("queues", "list")
    assert run("workers").startswith("no workers")
    assert "minute" in run("stats")
    assert run("clear", "--yes") == "deleted 2 jobs\n"
