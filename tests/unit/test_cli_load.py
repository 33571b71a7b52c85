"""``package.module:tq`` → TomQueue, and every way in which that can go wrong."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tomqueue.cli.load import load_app
from tomqueue.errors import SettingsError, TomQueueError

APP = "from tomqueue import TomQueue\ntq = TomQueue('sqlite:///jobs.db')\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Give a function that writes a module into the current directory."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(text: str, path: str = "shop.py") -> None:
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if name.split(".")[0] in {"shop", "store_front"}:
            del sys.modules[name]


def refused(spec: str) -> str:
    """Return why ``spec`` names no TomQueue."""
    with pytest.raises(SettingsError) as caught:
        load_app(spec)
    return str(caught.value)


def broken(spec: str) -> str:
    """Return why the module of ``spec`` fails."""
    with pytest.raises(TomQueueError) as caught:
        load_app(spec)
    assert not isinstance(caught.value, SettingsError)
    return str(caught.value)


def test_a_module_of_the_current_directory_is_found(module: Callable[..., None]) -> None:
    """In a package as well, and inside of an object."""
    module(APP + "class Config:\n    queue = tq\n", "store_front/jobs.py")
    assert load_app("store_front.jobs:tq") is load_app("store_front.jobs:Config.queue")
    assert sys.path[0] == str(Path.cwd())


@pytest.mark.parametrize("spec", ["nosuch:tq", "store_front.nosuch:tq", "nosuch.jobs:tq"])
def test_a_module_that_is_not_there_is_named(module: Callable[..., None], spec: str) -> None:
    """With the folder that was looked in."""
    module("", "store_front/__init__.py")
    message = refused(spec)
    assert "nosuch" in message
    assert str(Path.cwd()) in message


def test_a_missing_import_of_the_module_is_told_from_the_module(module: Callable[..., None]) -> None:
    """The inner error is shown, with its place."""
    module("import json\nimport nosuch_dependency\n")
    message = broken("shop:tq")
    assert message.startswith("importing shop failed: ModuleNotFoundError: No module named 'nosuch_dependency'")
    assert f"({Path.cwd() / 'shop.py'}, line 2)" in message


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("raise SystemExit\n", "SystemExit: no message"),
        ("from tomqueue import NoSuchName\n", "ImportError: cannot import name 'NoSuchName'"),
    ],
)
def test_a_module_that_fails_is_told_with_its_error(module: Callable[..., None], text: str, error: str) -> None:
    """Whatever it raises."""
    module(text)
    message = broken("shop:tq")
    assert message.startswith(f"importing shop failed: {error}")
    assert "shop.py, line 1" in message


def test_an_error_that_tomqueue_raises_is_placed_where_the_application_caused_it(module: Callable[..., None]) -> None:
    """A wrong declaration by its line; a wrong setting by its name, as it may come from the environment."""
    module(APP + "tq.job(7)\n")
    assert "shop.py, line 3" in broken("shop:tq")
    module("from tomqueue import TomQueue\ntq = TomQueue(lease=1)\n", "store_front/wrong.py")
    assert refused("store_front.wrong:tq").startswith("lease=1")


def test_a_missing_attribute_comes_with_a_near_name(module: Callable[..., None]) -> None:
    """Or with the TomQueues that the module has."""
    module(APP)
    assert refused("shop:tqq") == "shop has no attribute 'tqq': did you mean 'tq'?"
    assert refused("shop:application") == "shop has no attribute 'application': there is shop:tq"
    assert refused("shop") == "--app shop: name the TomQueue in the module, too; there is shop:tq"
    assert refused("shop:") == "--app shop:: name the TomQueue in the module, too; there is shop:tq"


def test_something_else_than_a_tomqueue_is_refused(module: Callable[..., None]) -> None:
    """Its type is told, and what to write where there is no TomQueue at all."""
    module("app = 'web'\n")
    assert refused("shop:app") == "shop:app is no TomQueue but of type str: shop has none: write tq = TomQueue(…) there"


@pytest.mark.parametrize("spec", ["shop.py:tq", "store_front/shop.py", "", ":tq", "shop jobs:tq", "..shop:tq"])
def test_what_names_no_module_is_told_how_it_looks(module: Callable[..., None], spec: str) -> None:
    """A file's path is turned into a module's name."""
    module(APP)
    message = refused(spec)
    assert "shop:tq" in message if "shop.py" in spec else "package.module:tq" in message
