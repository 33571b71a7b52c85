"""What is redacted or encrypted is nowhere in what the command writes, whatever happened to the job."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import change, row, work
from tomqueue import TomQueue
from tomqueue.cli.logs import JsonFormatter, TextFormatter
from tomqueue.payload import Keyring, new_key

SECRET = "hunter2"
KEY, OLD = new_key(), new_key()
MODULE = """
from dataclasses import dataclass
from typing import Literal

from tomqueue import Discard, TomQueue

tq = TomQueue("sqlite:///{folder}/jobs.db", sqlite_synchronous="NORMAL")

@tq.job(name="login", redact=("password", "user.email"), max_attempts=1)
def login(name: str, password: str, user: dict[str, str], number: int = 0) -> None:
    if name == "raises":
        secret = password + user["email"]
        raise ValueError("no such user")

@tq.job(name="pay", encrypt=True, max_attempts=1)
def pay(card: str, colour: Literal["red"] = "red") -> None:
    if card.endswith("!"):
        raise ValueError("refused")

@tq.job(name="Mail", redact=("token",))
class Mail:
    token: str
    to: str

    def process(self) -> None: ...

    def display_name(self) -> str:
        return f"mail to {{self.to}}"

@tq.job(name="plain")
def plain(path: str) -> None: ...
"""


@pytest.fixture
def cli(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the command, in a folder with an application that has secrets."""
    (tmp_path / f"{cli.app.removesuffix(':tq')}.py").write_text(MODULE.format(folder=tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TOMQUEUE_ENCRYPTION_KEYS", KEY)
    return cli


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Give all that is logged, at every level, as both formats write it."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(logging.makeLogRecord(vars(record))))
            lines.append(TextFormatter().format(logging.makeLogRecord(vars(record))))

    root, keeper = logging.getLogger(), Keeper()
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(keeper)
    yield lines
    root.removeHandler(keeper)
    root.setLevel(before)


def enqueue_all(tq: TomQueue) -> list[int]:
    """Enqueue jobs with a secret each, in every way that there is, and let some come to grief; return their ids."""
    login: Any = tq.registry.find("login")
    pay: Any = tq.registry.find("pay")
    mail: Any = tq.registry.find("Mail")
    user = {"email": SECRET, "town": "Rome"}
    jobs = [
        login.using(delay=3600).enqueue("Ada", SECRET, user),
        login.enqueue("raises", password=SECRET, user=user),
        *tq.enqueue_many([login.prepare("unreadable", SECRET, user), pay.prepare(SECRET), pay.prepare(f"{SECRET}!")]),
        tq.enqueue(mail.job_class(SECRET, "ann@example.org"), delay=3600),
        tq.enqueue(mail.job_class(SECRET, "garbled")),
        pay.enqueue(SECRET),
        pay.using(delay=3600).enqueue(SECRET),
    ]  # fmt: skip
    unreadable, other_key, garbled = jobs[2].id, jobs[7].id, jobs[6].id
    change(tq, unreadable, payload=json.dumps({"name": "x", "password": 7, "user": SECRET, "number": "text"}))
    change(tq, other_key, payload=Keyring(OLD).seal("pay", json.dumps({"card": SECRET})))
    change(tq, garbled, payload=f"no JSON {SECRET}")
    assert SECRET not in f"{jobs!r} {[job.arguments for job in jobs]}"
    return [job.id for job in jobs]


def test_a_secret_is_nowhere(cli: Any, tq: TomQueue, log: list[str]) -> None:
    """In no output of any command that looks, with the application and without it, nor in the log, nor in errors."""
    told: list[object] = []
    for event in ("job.enqueued", "job.started", "job.retried", "job.failed", "job.parked", "job.finished"):
        tq.on(event, lambda **details: told.append(details))
    ids = enqueue_all(tq)
    work(tq)
    states = [tq.jobs.get(one).state if row(tq, one) else None for one in ids]
    assert states == ["scheduled", "failed", "parked", None, "failed", "scheduled", "parked", "parked", "scheduled"]
    wrote = [repr(told), *log, *(repr(job) + str(job.arguments) + str(job.last_error) for job in tq.jobs.list())]
    url = ("--database-url", f"sqlite:///{cli.folder}/jobs.db")
    looks = [
        ["jobs", "list"], ["jobs", "list", "--failed"], ["jobs", "list", "--parked"], ["jobs", "list", "--json"],
        ["jobs", "list", "--json", "--limit", "0"], ["workers"], ["workers", "--json"], ["queues", "list"], ["stats"],
        *(["jobs", "show", str(one), *more] for one in ids for more in ([], ["--json"]) if row(tq, one)),
        *(["explain", str(one), *more] for one in ids for more in ([], ["--json"]) if row(tq, one)),
    ]  # fmt: skip
    for arguments in looks:
        wrote += [cli(*arguments), cli.stderr, cli.bare(*url, *arguments), cli.stderr]
    for arguments in (["check"], ["check", "--json"], ["doctor"], ["doctor", "--json"]):
        wrote += [cli(*arguments, code=1), cli.stderr, cli.bare(*url, *arguments, code=1), cli.stderr]
    everything = "\n".join(wrote)
    assert everything.count("[redacted]") > 10
    assert everything.count("[encrypted]") > 5
    for secret in (SECRET, KEY, OLD):
        assert secret not in everything


def test_what_is_not_secret_is_shown(cli: Any, tq: TomQueue) -> None:
    """The other arguments, and whatever the job says of itself."""
    ids = enqueue_all(tq)
    shown = cli.json("jobs", "show", str(ids[0]))
    assert shown["arguments"] == {
        "name": "Ada",
        "password": "[redacted]",
        "user": {"email": "[redacted]", "town": "Rome"},
    }
    mail = cli("jobs", "show", str(ids[5]))
    assert '{"token": "[redacted]", "to": "ann@example.org"}' in mail
    assert "mail to ann@example.org" in mail
    assert cli.json("jobs", "show", str(ids[6]))["arguments"] == "[redacted]"
    assert cli.json("jobs", "show", str(ids[8]))["arguments"] == "[encrypted]"


def test_without_a_declaration_arguments_are_shown_only_on_request(cli: Any, tq: TomQueue) -> None:
    """The row may be older than what would say to redact it; what the row itself says counts on request, too."""
    plain: Any = tq.registry.find("plain")
    job_id, secret = plain.enqueue("cat.png").id, enqueue_all(tq)[0]
    bare = ("--database-url", f"sqlite:///{cli.folder}/jobs.db", "jobs", "show")
    assert "[not shown: the job is not declared here" in cli.bare(*bare, str(job_id))
    assert '{"path": "cat.png"}' in cli.bare(*bare, str(job_id), "--show-arguments")
    assert '{"path": "cat.png"}' in cli("jobs", "show", str(job_id))
    assert SECRET not in cli.bare(*bare, str(secret), "--show-arguments")
    assert "Ada" in cli.bare(*bare, str(secret), "--show-arguments")
    change(tq, job_id, name="gone")
    assert "[not shown" in cli("jobs", "show", str(job_id))
    assert cli.json("jobs", "list", "--name", "gone", "--show-arguments")[0]["arguments"] == {"path": "cat.png"}
    assert tq.jobs.get(job_id).arguments.startswith("[not shown")
    assert tq.jobs.arguments(job_id, reveal=True) == {"path": "cat.png"}


def test_a_declaration_redacts_rows_that_are_older(cli: Any, tq: TomQueue) -> None:
    """A name that is added today counts for what waits already, and one that is taken out for what was enqueued."""
    job_id = enqueue_all(tq)[0]
    change(tq, job_id, meta=None)
    assert cli.json("jobs", "show", str(job_id))["arguments"]["password"] == "[redacted]"
    assert tq.jobs.get(job_id).arguments["password"] == "[redacted]"
    change(tq, job_id, name="plain", meta='{"redact":[["password"],["user"]]}')
    assert SECRET not in cli("jobs", "show", str(job_id))


def test_encrypted_arguments_are_decrypted_on_request(cli: Any, tq: TomQueue) -> None:
    """By whoever has the key; who has not is told which one it is."""
    ids = enqueue_all(tq)
    assert cli.json("jobs", "show", str(ids[8]), "--show-arguments")["arguments"] == {"card": SECRET}
    shown = cli("jobs", "show", str(ids[7]), "--show-arguments")
    assert f"[encrypted: pay: the arguments are encrypted with the key '{Keyring(OLD).ids[0]}'" in shown


def test_a_missing_key_is_explained(cli: Any, tq: TomQueue) -> None:
    """By explain, check and doctor, each with what to do; keys are named by their ids."""
    other = enqueue_all(tq)[7]
    old, new = Keyring(OLD).ids[0], Keyring(KEY).ids[0]
    assert f"it is encrypted with the key {old}, which this application does not have" in cli("explain", str(other))
    assert "unknown_key" in [one["code"] for one in cli.json("explain", str(other))["findings"]]
    assert f"ok      keys      no parked job needs a key that is not here (here: {new})" in cli("check", code=1)
    work(tq)
    assert f"parked jobs are encrypted (1 with the key {old}), and that is not here" in cli("check", code=1)
    examined = cli("doctor", code=1)
    assert f"1 jobs are encrypted with the key {old}, which is not here" in examined
    assert "cure: give the workers that key" in examined


def test_keys_are_made_and_jobs_reencrypted(cli: Any, tq: TomQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation by the command: what runs is told of, and what cannot be decrypted is exit code 1."""
    made = cli.bare("generate-key").strip()
    first = Keyring(made).ids[0]
    pay: Any = tq.registry.find("pay")
    ids = [pay.enqueue(f"card {number}").id for number in range(3)]
    login: Any = tq.registry.find("login")
    login.enqueue("Ada", SECRET, {})
    change(tq, ids[1], locked_by=1, claim_token=1)
    change(tq, ids[2], payload='{"card":"as it was before encrypt=True"}')
    bare = ("--database-url", f"sqlite:///{cli.folder}/jobs.db")
    monkeypatch.setenv("TOMQUEUE_ENCRYPTION_KEYS", f"{made},{KEY}")
    assert "is not the first one" in cli.bare(*bare, "doctor", code=1)
    assert cli.bare(*bare, "jobs", "reencrypt") == f"encrypted 1 job with the key {first}\n"
    assert cli.stderr == "1 are running and keep theirs: say this again before you take a key out\n"
    assert row(tq, ids[0]).payload.startswith(f"enc:v1:{first}:")
    assert row(tq, ids[0]).announced_at is None
    monkeypatch.setenv("TOMQUEUE_ENCRYPTION_KEYS", KEY)
    assert cli("jobs", "reencrypt", code=1) == f"encrypted 1 job with the key {Keyring(KEY).ids[0]}\n"
    assert cli.stderr == f"1 need the key {first}, which is not here: add it to encryption_keys\n"
    assert row(tq, ids[2]).payload.startswith("enc:v1:")
    change(tq, ids[0], payload="enc:v1:" + Keyring(KEY).ids[0] + ":garbled")
    monkeypatch.setenv("TOMQUEUE_ENCRYPTION_KEYS", f"{made},{KEY}")
    answer = json.loads(cli.bare(*bare, "jobs", "reencrypt", "--json", code=1))
    assert answer == {"key": first, "jobs": 1, "running": 1, "unknown_keys": {}, "unreadable": 1}
    assert "1 cannot be decrypted" in (cli.bare(*bare, "jobs", "reencrypt", code=1) + cli.stderr)
    monkeypatch.delenv("TOMQUEUE_ENCRYPTION_KEYS")
    cli.bare(*bare, "jobs", "reencrypt", code=2)
    assert "there is no key to encrypt with" in cli.stderr
