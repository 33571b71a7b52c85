"""What is redacted or encrypted is nowhere in what is kept beside a row, and in what other features show of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.harness import change, row, store_of, work
from tomqueue import TomQueue, chain
from tomqueue.payload import Keyring, new_key
from tomqueue.store.sql import SqlStore

SECRET = "hunter2"
KEY = new_key()
MODULE = """
from tomqueue import JobContext, TomQueue

tq = TomQueue("sqlite:///{folder}/jobs.db", sqlite_synchronous="NORMAL", keep_completed=3600)

@tq.job(name="login", redact=("password",), max_attempts=2, backoff=0)
def login(ctx: JobContext, name: str, password: str) -> None:
    ctx.checkpoint("half way")
    if name == "fails" or (name == "once" and ctx.attempt == 1):
        raise ValueError("no such user")

@tq.job(name="pay", encrypt=True, concurrency=1, concurrency_key=lambda account: account)
def pay(account: int, card: str) -> None: ...

@tq.job(name="greet", redact=("name",), fair_key=lambda tenant: tenant)
def greet(tenant: str, name: str) -> None: ...
"""


@pytest.fixture
def cli(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the command, in a folder with an application that has secrets and keeps what succeeded."""
    (tmp_path / f"{cli.app.removesuffix(':tq')}.py").write_text(MODULE.format(folder=tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TOMQUEUE_ENCRYPTION_KEYS", KEY)
    return cli


@pytest.fixture
def url(cli: Any) -> tuple[str, str]:
    """Give what the command needs to look at the database alone."""
    return "--database-url", f"sqlite:///{cli.folder}/jobs.db"


def declared(tq: TomQueue, name: str) -> Any:
    """Return a job of the application."""
    return tq.registry.find(name)


def kept_payload(store: SqlStore, job_id: int) -> str:
    """Return the arguments in the history as they are stored."""
    history = store.tables.history
    wanted = select(history.c.payload).where(history.c.job_id == job_id)
    return str(store.read(lambda connection: connection.execute(wanted).scalar_one()))


def test_a_secret_is_nowhere_in_what_is_kept(cli: Any, tq: TomQueue, url: tuple[str, str]) -> None:
    """In no history, progress, error of an attempt, workflow or limit, with the application and without it."""
    login, pay, greet = declared(tq, "login"), declared(tq, "pay"), declared(tq, "greet")
    done = [
        login.enqueue("once", SECRET).id, pay.enqueue(7, SECRET).id, greet.enqueue("north", SECRET).id,
    ]  # fmt: skip
    failed = login.enqueue("fails", SECRET).id
    work(tq)
    work(tq)
    assert [job.id for job in tq.history.list()] == done[::-1]
    assert tq.jobs.get(failed).state == "failed"
    waiting = [pay.enqueue(7, SECRET).id, pay.enqueue(7, SECRET).id, greet.enqueue("south", SECRET).id]
    flow = tq.enqueue(chain(login.prepare("Ada", SECRET), pay.prepare(8, SECRET), greet.prepare("north", SECRET)))
    seen: list[Any] = [*tq.history.list(), *tq.workflows.jobs(flow.id)]
    wrote = [repr(flow), *(f"{job!r} {job.arguments}" for job in seen)]
    wrote += [repr(tq.history.get(one)) + str(tq.history.arguments(one)) for one in done]
    looks = [
        ["history", "list"], ["history", "list", "--json"], ["limits", "list"], ["limits", "list", "--json"],
        ["workflows", "list"], ["workflows", "list", "--json"], ["queues", "list"], ["workers"], ["stats"],
        *(["history", "show", str(one), *more] for one in done for more in ([], ["--json"])),
        *(["workflows", "show", str(flow.id), *more] for more in ([], ["--json"])),
        *(
            [*look, str(one), *more] for look in (["jobs", "show"], ["explain"])
            for one in (failed, *waiting, *(job.id for job in flow.jobs)) for more in ([], ["--json"])
        ),
    ]  # fmt: skip
    for arguments in looks:
        wrote += [cli(*arguments), cli.stderr, cli.bare(*url, *arguments), cli.stderr]
    everything = "\n".join(wrote)
    assert "half way" in everything  # what a job writes itself is shown
    assert "no such user" in everything
    assert everything.count("[redacted]") > 10
    assert everything.count("[encrypted]") > 10
    assert everything.count("[not shown") > 10
    for secret in (SECRET, KEY):
        assert secret not in everything


def test_the_history_shows_what_may_be_shown(cli: Any, tq: TomQueue, url: tuple[str, str]) -> None:
    """As it is of a job that waits: redacted always, decrypted on request, and without a declaration on request."""
    login, pay = declared(tq, "login"), declared(tq, "pay")
    one, other = str(login.enqueue("Ada", SECRET).id), str(pay.enqueue(7, SECRET).id)
    work(tq)
    hidden = {"name": "Ada", "password": "[redacted]"}
    assert cli.json("history", "show", one)["arguments"] == hidden
    assert tq.history.get(int(one)).arguments == hidden
    assert [job["arguments"] for job in cli.json("history", "list")] == ["[encrypted]", hidden]
    assert "[not shown: the job is not declared here" in cli.bare(*url, "history", "show", one)
    assert json.loads(cli.bare(*url, "history", "show", one, "--json", "--show-arguments"))["arguments"] == hidden
    assert tq.history.get(int(other)).arguments == "[encrypted]"
    plain = {"account": 7, "card": SECRET}
    assert cli.json("history", "show", other, "--show-arguments")["arguments"] == plain
    assert cli.json("history", "list", "--show-arguments")[0]["arguments"] == plain
    assert tq.history.arguments(int(other), reveal=True) == plain


def test_the_history_obeys_a_declaration_that_is_younger(cli: Any, tq: TomQueue) -> None:
    """What was kept before a field was redacted is hidden as well."""
    greet = declared(tq, "greet")
    job = greet.enqueue("north", SECRET).id
    change(tq, job, meta=None)
    work(tq)
    assert tq.history.get(job).meta is None
    assert tq.history.get(job).arguments == {"tenant": "north", "name": "[redacted]"}
    assert SECRET not in cli("history", "show", str(job)) + cli("history", "list", "--json")


def test_a_rotation_leaves_the_history_under_its_key(
    cli: Any, tq: TomQueue, url: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for its limit gets the new key, and what is over needs the old one to be read."""
    pay = declared(tq, "pay")
    over = pay.enqueue(7, SECRET).id
    work(tq)
    ready, held = pay.enqueue(7, SECRET), pay.enqueue(7, SECRET)
    made = new_key()
    monkeypatch.setenv("TOMQUEUE_ENCRYPTION_KEYS", f"{made},{KEY}")
    assert cli.bare(*url, "jobs", "reencrypt").startswith("encrypted 2 jobs")
    first, old = Keyring(made).ids[0], Keyring(KEY).ids[0]
    assert all(row(tq, job.id).payload.startswith(f"enc:v1:{first}:") for job in (ready, held))
    assert kept_payload(store_of(tq), over).startswith(f"enc:v1:{old}:")
    monkeypatch.setenv("TOMQUEUE_ENCRYPTION_KEYS", made)
    shown = cli.bare(*url, "history", "show", str(over), "--show-arguments")
    assert f"[encrypted: pay: the arguments are encrypted with the key '{old}'" in shown
    assert "[encrypted]" in cli.bare(*url, "history", "show", str(over))
