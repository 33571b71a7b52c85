"""``package.module:tq`` → TomQueue, with errors that say what is wrong and what to do."""

import importlib
import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from tomqueue.app import TomQueue
from tomqueue.errors import SettingsError, TomQueueError

__all__ = ["load_app"]


def load_app(spec: str) -> TomQueue:
    """Import the module of ``spec`` (the current directory is looked at first) and return the TomQueue it names.

    Raises SettingsError when ``spec`` does not name a TomQueue, and TomQueueError when its module fails.
    """
    module_name, _, attribute = spec.partition(":")
    if "/" in module_name or module_name.endswith(".py"):
        dotted = ".".join(Path(module_name.removesuffix(".py")).parts)
        raise SettingsError(f"--app {spec}: name the module, not its file, for example {dotted}:{attribute or 'tq'}")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise SettingsError(f"--app {spec}: it looks like package.module:tq")
    module = imported(module_name)
    if not attribute:
        raise SettingsError(f"--app {spec}: name the TomQueue in the module, too; {suggestion(module)}")
    return found(module, attribute)


def imported(name: str) -> ModuleType:
    """Import a module; tell a module that is not there from one that fails."""
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            cure = "run the command in the folder that holds it, or install the package"
            raise SettingsError(
                f"no module is called {error.name!r} in {directory} or on Python's path: {cure}"
            ) from error
        raise failed(name, error) from error
    except SettingsError:
        raise  # it names the setting, which may come from the environment
    except (Exception, SystemExit) as error:
        raise failed(name, error) from error


def failed(name: str, error: BaseException) -> TomQueueError:
    """Return the error for a module that raises when it is imported: the inner error, and where it is."""
    return TomQueueError(f"importing {name} failed: {type(error).__name__}: {str(error) or 'no message'}{place(error)}")


def place(error: BaseException) -> str:
    """Return the file and line where an import failed; a syntax error names them itself."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    ours = tuple(f"{folder}{os.sep}" for folder in (Path(__file__).parents[1], Path(importlib.__file__).parent))
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    return f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""


def found(module: ModuleType, attribute: str) -> TomQueue:
    """Return what ``attribute`` (dots allowed) names in a module, if it is a TomQueue."""
    value: object = module
    for name in attribute.split("."):
        if not hasattr(value, name):
            near = get_close_matches(name, dir(value), n=1)
            hint = f"did you mean {near[0]!r}?" if near else suggestion(module)
            raise SettingsError(f"{module.__name__} has no attribute {attribute!r}: {hint}")
        value = getattr(value, name)
    if not isinstance(value, TomQueue):
        kind = type(value).__name__
        raise SettingsError(f"{module.__name__}:{attribute} is no TomQueue but of type {kind}: {suggestion(module)}")
    return value


def suggestion(module: ModuleType) -> str:
    """Say which TomQueues a module has."""
    names = sorted(name for name, value in vars(module).items() if isinstance(value, TomQueue))
    if not names:
        return f"{module.__name__} has none: write tq = TomQueue(…) there"
    return f"there is {', '.join(f'{module.__name__}:{name}' for name in names)}"
