"""The pytest plugin, in runs of their own: with an application, without one, and with one that is not there."""

import os
import subprocess
import sys
from pathlib import Path

APP = """
from tomqueue import TomQueue

tq = TomQueue("postgresql://nowhere.invalid/shop", broker_url="amqp://nowhere.invalid/")
sent = []

@tq.job(queue="mailers")
def send(user_id: int) -> None:
    sent.append(user_id)
"""

TEST = """
import pytest
import shop

@pytest.mark.parametrize("user_id", [1, 2])
def test_it(tomqueue_kit, user_id):
    shop.send.enqueue(user_id)
    tomqueue_kit.assert_enqueued(shop.send, [user_id], count=1)  # each test has a database of its own
    tomqueue_kit.drain()
    assert shop.sent[-1] == user_id

def test_the_message(tomqueue_kit):
    shop.send.enqueue(7)
    tomqueue_kit.assert_enqueued(shop.send, [8])
"""

IN_TRANSACTION = """
import pytest
from sqlalchemy import create_engine
from tomqueue import TomQueue, configure_sqlite

engine = create_engine("sqlite:///shop.db")
configure_sqlite(engine)
tq = TomQueue(engine=engine)
tq.tools()  # makes the tables

@tq.job(name="send")
def send(user_id: int) -> None: ...

@pytest.fixture(scope="session")
def tomqueue_app():
    return tq

@pytest.fixture
def kit(tomqueue_in_transaction):
    with engine.connect() as connection:
        outer = connection.begin()
        yield tomqueue_in_transaction(connection)
        outer.rollback()

@pytest.mark.parametrize("user_id", [1, 2])
def test_it(kit, user_id):
    send.enqueue(user_id)
    kit.assert_enqueued(send, [user_id], count=1)
    assert len(kit.drain()) == 1

def test_nothing_is_left():
    assert tq.jobs.count() == 0
"""

UNUSED = """
import sys

def test_nothing_of_it_is_imported():
    assert "_tomqueue_pytest" in sys.modules
    assert not [name for name in sys.modules if name.partition(".")[0] in {"tomqueue", "sqlalchemy", "pika", "msgspec"}]
"""


def run(folder: Path, test: str, *words: str, **environment: str) -> tuple[int, str]:
    """Run pytest on one test file; return its exit status and what it wrote."""
    (folder / "shop.py").write_text(APP)
    (folder / "test_shop.py").write_text(test)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TOMQUEUE_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", *words]
    done = subprocess.run(
        command, cwd=folder, env={**clean, **environment}, capture_output=True, text=True, timeout=100, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_kit_is_a_fixture(tmp_path: Path) -> None:
    """The application is named in pytest's configuration; each test has an empty database and a message to read."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntomqueue_app = shop:tq\npythonpath = .\n")
    status, wrote = run(tmp_path, TEST)
    assert status == 1, wrote
    assert "2 passed" in wrote
    assert "1 failed" in wrote
    assert 'no shop.send {"user_id":8} enqueued; these are:' in wrote
    assert "def assert_enqueued" not in wrote  # the kit's own frames are not what a test's author looks for


def test_the_environment_names_the_application_too(tmp_path: Path) -> None:
    """As for the command."""
    status, wrote = run(tmp_path, TEST, "-k", "test_it", "-W", "error", TOMQUEUE_APP="shop:tq", PYTHONPATH=".")
    assert status == 0, wrote


def test_a_fixture_of_the_projects_own_gives_the_application(tmp_path: Path) -> None:
    """And the kit works inside its transaction, which is rolled back."""
    status, wrote = run(tmp_path, IN_TRANSACTION)
    assert status == 0, wrote


def test_nothing_is_imported_before_it_is_used(tmp_path: Path) -> None:
    """A project that has TomQueue only by chance does not even notice it."""
    status, wrote = run(tmp_path, UNUSED, "-p", "no:anyio")
    assert status == 0, wrote


def test_without_an_application_the_fixture_says_what_to_do(tmp_path: Path) -> None:
    """Only the tests that ask for it fail."""
    status, wrote = run(tmp_path, TEST + "\ndef test_another(): pass\n")
    assert status == 1, wrote
    assert "1 passed" in wrote
    assert "set tomqueue_app = package.module:tq in pytest's configuration, or TOMQUEUE_APP" in wrote


def test_an_application_that_is_not_there(tmp_path: Path) -> None:
    """The error is the command's."""
    _status, wrote = run(tmp_path, TEST, TOMQUEUE_APP="shoop:tq")
    assert "shoop" in wrote
    assert "SettingsError" in wrote
