"""``tomqueue jobs`` and ``tomqueue clear`` on a real database."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.harness import change, row, work
from tomqueue import TomQueue
from tomqueue.job import State
from tomqueue.priority import Priority


def put(tq: TomQueue, name: str, /, *, state: State = State.READY, delay: float | None = None, **values: Any) -> int:
    """Enqueue a job and bring its row into a state."""
    definition: Any = tq.registry.find(name)
    argument = values.pop("argument", 7 if name == "send" else "cat.png")
    job_id: int = definition.using(delay=3600 if state is State.SCHEDULED else delay).enqueue(argument).id
    now = tq.tools().store.now()
    columns: dict[State, dict[str, Any]] = {
        State.FAILED: {"failed_at": now, "announced_at": None},
        State.RUNNING: {"locked_by": 1, "locked_at": now, "claim_token": 1},
        State.HELD: {"held": True},
        State.PARKED: {"parked_at": now, "announced_at": None, "run_at": now + timedelta(seconds=5)},
    }
    if values or state in columns:
        change(tq, job_id, **columns.get(state, {}), **values)
    return job_id


@pytest.fixture
def in_each_state(tq: TomQueue) -> dict[State, int]:
    """Give a job in each state, by its state."""
    return {state: put(tq, "resize", state=state) for state in State}


def test_a_table_of_jobs_fits_the_terminal(cli: Any, tq: TomQueue) -> None:
    """Every line has at most 80 columns, however long the names are; a name keeps its end."""
    put(tq, "send", name="a_very_long_package_name.of_a_module.and_another.send_welcome_mail", queue="q" * 100)
    lines = cli("jobs", "list").splitlines()
    assert lines[0].split() == ["ID", "STATE", "QUEUE", "PRIORITY", "NAME", "SINCE", "OR", "DUE"]
    assert max(len(line) for line in lines) <= 80
    assert "mail" in lines[1]
    assert "s ago)" in lines[1]


@pytest.mark.parametrize("state", list(State))
def test_each_state_can_be_asked_for(cli: Any, in_each_state: dict[State, int], state: State) -> None:
    """The flag of a state lists the jobs in that state only."""
    found = cli.json("jobs", "list", f"--{state}")
    assert [(job["id"], job["state"]) for job in found] == [(in_each_state[state], state)]


def test_jobs_are_chosen_by_queue_name_and_age(cli: Any, tq: TomQueue) -> None:
    """Conditions are joined by and."""
    old = put(tq, "send", created_at=tq.tools().store.now() - timedelta(hours=2))
    put(tq, "send")
    put(tq, "resize", created_at=tq.tools().store.now() - timedelta(hours=2))
    found = cli.json("jobs", "list", "--queue", "mailers", "--name", "send", "--older-than", "1h30m")
    assert [job["id"] for job in found] == [old]


def test_no_jobs_are_an_empty_array_and_a_sentence(cli: Any, tq: TomQueue) -> None:
    """An empty list is JSON, too."""
    assert tq.jobs.list() == []
    assert cli.json("jobs", "list") == []
    assert cli("jobs", "list") == "no such jobs\n"


def test_a_list_ends_at_its_limit_and_says_so(cli: Any, tq: TomQueue) -> None:
    """A person learns that there are more; 0 means all; --after goes on."""
    ids = [put(tq, "resize") for _ in range(4)]
    assert len(cli("jobs", "list", "--limit", "3").splitlines()) == 1 + 3
    assert "--limit 0" in cli.stderr
    assert [job["id"] for job in cli.json("jobs", "list", "--limit", "0")] == ids
    assert cli.stderr == ""
    assert [job["id"] for job in cli.json("jobs", "list", "--after", str(ids[1]), "--limit", "1")] == [ids[2]]


def test_failed_jobs_are_listed_with_their_error(cli: Any, tq: TomQueue) -> None:
    """What counts about a failed job is the last line of its error."""
    tq.enqueue(tq.registry.find("send").prepare(7))  # type: ignore[attr-defined]
    work(tq)
    head, line = cli("jobs", "list", "--failed").splitlines()
    assert head.split() == ["ID", "QUEUE", "NAME", "TRIES", "FAILED", "ERROR"]
    assert line.endswith("ValueError: no user 7")


def test_what_rows_hold_cannot_steer_a_terminal(cli: Any, tq: TomQueue) -> None:
    """Escapes, control characters and direction marks of a row are not printed in tables."""
    evil = "\x1b]0;title\x07\x1b[2J\x9b31mname\r\n\u202e\x07end"
    job_id = put(tq, "resize", state=State.FAILED, name=evil, last_error=evil, queue=evil)
    for output in (cli("jobs", "list"), cli("jobs", "list", "--failed"), cli("jobs", "show", str(job_id))):
        assert "name" in output
        assert not set(output) & set("\x1b\x9b\x07\r\u202e")
        assert "title" not in output
    assert len(cli("jobs", "list").splitlines()) == 2


def test_arguments_appear_only_where_one_job_is_shown_and_in_json(cli: Any, tq: TomQueue) -> None:
    """Tables of many jobs do not spread what may be private."""
    job_id = str(put(tq, "resize", argument="secret.png"))
    for arguments in (("jobs", "list"), ("explain", job_id), ("queues", "list"), ("workers",)):
        assert "secret.png" not in cli(*arguments)
    assert '{"path": "secret.png"}' in cli("jobs", "show", job_id)
    assert cli.json("jobs", "list")[0]["arguments"] == {"path": "secret.png"}
    assert cli.json("jobs", "show", job_id)["arguments"] == {"path": "secret.png"}


@pytest.mark.parametrize("payload", ["no json", "[" * 100_000, '{"n": 1e999}'])
def test_unreadable_arguments_are_shown_as_text(cli: Any, tq: TomQueue, payload: str) -> None:
    """Whatever someone wrote into a row can be looked at."""
    job_id = put(tq, "resize", payload=payload)
    assert cli.json("jobs", "show", str(job_id))["arguments"] == payload
    assert payload[:50] in cli("jobs", "show", str(job_id))


def test_a_job_is_shown_with_its_times_and_its_whole_error(cli: Any, tq: TomQueue) -> None:
    """Times are in UTC with their age, and the traceback keeps its lines."""
    tq.enqueue(tq.registry.find("send").prepare(7))  # type: ignore[attr-defined]
    work(tq)
    shown = cli("jobs", "show", "1")
    assert re.search(r"UTC \(\d+ s ago\)", shown)
    assert "last error\n    Traceback" in shown
    assert "    ValueError: no user 7\n" in shown
    assert cli.json("jobs", "show", "1")["failed_at"].endswith("Z")


def test_jobs_are_retried_cancelled_and_deleted_by_id(cli: Any, tq: TomQueue) -> None:
    """Each id is answered; a named job needs no confirmation."""
    one, two = put(tq, "resize", state=State.FAILED), put(tq, "resize")
    assert cli("jobs", "retry", str(one)) == f"retried job {one}\n"
    assert tq.jobs.get(one).state is State.READY
    assert cli("jobs", "cancel", str(one), str(two)) == f"cancelled job {one}\ncancelled job {two}\n"
    assert tq.jobs.get(two).state is State.FAILED
    assert cli.json("jobs", "delete", str(one), str(two)) == {"deleted": 2, "ids": [one, two], "refused": []}
    assert tq.jobs.list() == []


def test_what_cannot_be_changed_is_told_and_the_others_are_changed(cli: Any, tq: TomQueue) -> None:
    """No such job is exit code 3, a job that runs is 1; neither keeps the other ids from their turn."""
    running, ready = put(tq, "resize", state=State.RUNNING), put(tq, "resize")
    assert cli("jobs", "delete", str(running), code=1) == ""
    reason = f"job {running} is running and cannot be deleted: wait until it has ended, or cancel it first"
    assert cli.stderr == f"tomqueue: {reason}\n"
    assert cli("jobs", "cancel", "99", str(ready), code=3) == f"cancelled job {ready}\n"
    assert "no job has id 99" in cli.stderr
    answer = cli.json("jobs", "retry", "99", code=3)
    assert answer["retried"] == 0
    assert answer["refused"][0]["id"] == 99


def test_a_bulk_change_counts_and_asks_first(cli: Any, tq: TomQueue) -> None:
    """No is an answer: nothing is changed then, and the exit code says so."""
    ids = [put(tq, "send", state=State.FAILED) for _ in range(3)]
    cli("jobs", "delete", "--all", "--failed", "--queue", "mailers", code=1, answer="n\n")
    assert "delete 3 jobs in queue mailers (failed)? [y/N]" in cli.stderr
    assert cli.stderr.endswith("tomqueue: aborted\n")
    cli("jobs", "delete", "--all", "--failed", code=1, answer="")
    assert [job.id for job in tq.jobs.list()] == ids
    assert cli("jobs", "delete", "--all", "--failed", answer="y\n").endswith("deleted 3 jobs\n")
    assert tq.jobs.list() == []


def test_many_are_changed_in_pieces(cli: Any, tq: TomQueue) -> None:
    """More jobs than a piece holds are changed, and no others."""
    resize: Any = tq.registry.find("resize")
    tq.enqueue_many([resize.prepare(f"{number}.png") for number in range(1201)])
    kept = put(tq, "send")
    assert cli.json("jobs", "cancel", "--all", "--name", "resize", "--yes") == {"cancelled": 1201}
    assert tq.jobs.get(kept).state is State.READY
    assert cli("jobs", "retry", "--all", "--yes") == "retried 1,201 jobs\n"
    assert tq.jobs.count(state=State.READY) == 1202
    assert cli("jobs", "retry", "--all", "--yes") == "retried 0 jobs\n"


def test_a_running_job_is_cancelled_by_its_worker(cli: Any, tq: TomQueue) -> None:
    """The command says that this takes a moment; of many only where running ones are named."""
    running, ready, other = put(tq, "resize", state=State.RUNNING), put(tq, "resize"), put(tq, "send")
    note = "is interrupted within about a second"
    assert cli("jobs", "cancel", str(running)) == f"cancelled job {running}: it runs, and {note}\n"
    assert cli.json("jobs", "cancel", str(running), str(ready)) == {
        "cancelled": 2, "ids": [running, ready], "running": [running], "refused": [],
    }  # fmt: skip
    assert cli("jobs", "cancel", "--all", "--yes") == "cancelled 1 job\n"
    assert cli("jobs", "cancel", "--all", "--running", "--yes") == f"cancelled 1 job: what runs {note}\n"
    assert tq.jobs.get(running).state is State.RUNNING
    assert tq.jobs.get(other).state is State.FAILED
    assert re.search(r"cancel asked for +.*UTC", cli("jobs", "show", str(running)))
    assert re.search(r"cancelled at +.*UTC", cli("jobs", "show", str(ready)))


def test_waiting_jobs_are_edited(cli: Any, tq: TomQueue) -> None:
    """By ids or by what options mean; the answer says to what."""
    one, two = put(tq, "resize"), put(tq, "resize")
    assert cli("jobs", "reprioritise", str(one), "--to", "high") == f"reprioritised job {one} to high\n"
    assert cli("jobs", "move", str(one), "--to", "images") == f"moved job {one} to images\n"
    assert cli("jobs", "reschedule", str(one), "--in", "1h") == f"rescheduled job {one} in 1 h\n"
    job = tq.jobs.get(one)
    assert (job.priority, job.queue, job.state) == (Priority.HIGH, "images", State.SCHEDULED)
    at = cli("jobs", "reschedule", str(one), "--at", "2999-01-31T09:00+01:00")
    assert at == f"rescheduled job {one} to 2999-01-31 08:00:00 UTC\n"
    assert cli.json("jobs", "move", str(two), "99", "--to", "images", code=3) == {
        "moved": 1, "ids": [two],
        "refused": [{"id": 99, "reason": "no job has id 99: it finished, was deleted, or never existed"}],
    }  # fmt: skip
    cli("jobs", "reprioritise", "--all", "--queue", "images", "--to", "bulk", code=1, answer="n\n")
    assert "reprioritise 2 jobs in queue images to bulk (held or parked or scheduled or ready)? [y/N]" in cli.stderr
    every = ("--all", "--queue", "images", "--yes")
    assert cli("jobs", "reprioritise", *every, "--to", "bulk") == "reprioritised 2 jobs to bulk\n"
    assert cli.json("jobs", "reschedule", *every, "--in", "0s") == {"rescheduled": 2}
    assert cli("queues", "pause", "images").startswith("paused")


def test_retrying_all_means_the_failed_ones(cli: Any, tq: TomQueue, in_each_state: dict[State, int]) -> None:
    """What waits for its time keeps it, unless it is named."""
    assert cli.json("jobs", "retry", "--all", "--yes") == {"retried": 1}
    assert tq.jobs.get(in_each_state[State.FAILED]).state is State.READY
    assert tq.jobs.get(in_each_state[State.SCHEDULED]).state is State.SCHEDULED
    assert cli.json("jobs", "retry", "--all", "--scheduled", "--yes") == {"retried": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["delete"], "name the ids"),
        (["delete", "--failed"], "say --all"),
        (["delete", "1", "--all"], "give one of them"),
        (["delete", "--all", "--running"], "a running job cannot be deleted"),
        (["retry", "--all", "--held"], "a held job cannot be retried"),
        (["cancel", "--all", "--failed"], "a failed job cannot be cancelled"),
        (["move", "1", "--to", "no/slash"], "queue='no/slash' must match"),
        (["move", "1"], "Missing option '--to'"),
        (["reprioritise", "1", "--to", "urgent"], "'urgent' is not one of 'high', 'normal', 'low', 'bulk'"),
        (["reprioritise", "--all", "--to", "low", "--running"], "a running job cannot be reprioritised"),
        (["reschedule", "1"], "give the new time by --at or by --in"),
        (["reschedule", "1", "--in", "1h", "--at", "2999-01-31T09:00Z"], "give the new time by --at or by --in"),
        (["reschedule", "1", "--at", "2999-01-31T09:00"], "has no time zone: write 2999-01-31T09:00Z for UTC"),
        (["reschedule", "1", "--at", "tomorrow"], "'tomorrow' is no time: write 2027-01-31T09:00+01:00"),
        (["reschedule", "1", "--at", "9999-01-31T09:00Z"], "is out of range"),
        (["reschedule", "--all", "--failed", "--in", "1h"], "a failed job cannot be rescheduled"),
        (["retry", "one"], "'one' is not a valid integer"),
        (["show", "99999999999999999999"], "is not in the range"),
        (["list", "--failed", "--parked"], "a job has one state"),
        (["list", "--older-than", "soon"], "write 90s, 15m, 1h"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_changes_nothing(
    cli: Any, tq: TomQueue, arguments: list[str], message: str
) -> None:
    """It says what is wrong and where help is; the exit code is 2."""
    put(tq, "resize", state=State.FAILED)
    cli("jobs", *arguments, code=2)
    assert cli.stderr.startswith("tomqueue: ")
    assert cli.stderr.endswith(f"(see `tomqueue jobs {arguments[0]} --help`)\n")
    assert message in cli.stderr
    assert len(cli.stderr.splitlines()) == 1
    assert tq.jobs.count(state=State.FAILED) == 1


def test_clear_deletes_all_but_what_runs(cli: Any, tq: TomQueue, in_each_state: dict[State, int]) -> None:
    """Waiting and failed jobs go, of one queue or of all."""
    send = put(tq, "send")
    assert cli("clear", "--queue", "mailers", "--yes") == "deleted 1 job\n"
    assert row(tq, send) is None
    cli("clear", code=1, answer="n\n")
    assert f"delete {len(State) - 1} jobs" in cli.stderr
    assert cli("clear", "-y") == f"deleted {len(State) - 1} jobs\n"
    assert [job.id for job in tq.jobs.list()] == [in_each_state[State.RUNNING]]


def test_a_priority_is_shown_by_name(cli: Any, tq: TomQueue) -> None:
    """People read high, not 0."""
    put(tq, "send", priority=Priority.BULK.rank)
    assert " bulk " in cli("jobs", "list")
    assert cli.json("jobs", "list")[0]["priority"] == "bulk"


def test_a_job_shows_its_display_name(cli: Any, tq: TomQueue) -> None:
    """What ``display_name()`` of its instance says; one that raises says so, and one that cannot be read is shown."""

    @tq.job(name="mail")
    @dataclass
    class Mail:
        address: str

        def process(self) -> None: ...

        def display_name(self) -> str | None:
            if not self.address:
                raise ValueError("no address")
            return f"mail to {self.address}"

    for address in ("ann@example.org", ""):
        tq.enqueue(Mail(address))
    unreadable, other = tq.enqueue(Mail("")).id, put(tq, "resize", argument="a.png")
    change(tq, unreadable, payload="{}")
    assert cli.json("jobs", "show", "1")["display_name"] == "mail to ann@example.org"
    assert re.search(r"display name +mail to ann@example.org\n", cli("jobs", "show", "1"))
    assert "(display_name() raised ValueError: no address)" in cli("jobs", "show", "2")
    for job_id in (unreadable, other):
        assert "display" not in cli("jobs", "show", str(job_id))
