"""What a declaration tells about itself: its name, its place, its colour and whether it wants the context."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tomqueue.definition.options import Options, checked_name
from tomqueue.errors import DefinitionError
from tomqueue.payload import ReturnCodec, function_hints

__all__ = ["colour_of", "name_of", "place_of", "result_of", "wants_context"]

POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def name_of(declared: Any, given: str | None) -> str:
    """Return the name under which a job is stored: ``given``, else module and qualified name.

    The module is part of it because two modules may each have a ``sync`` or a ``Report``, and the rows of one
    must never run the other. Give a name to a job that may move to another module: its rows keep the old name.
    Raises DefinitionError for a name that cannot be stored.
    """
    if given is not None:
        return checked_name("name", given, DefinitionError)
    name = place_of(declared).replace("<locals>.", "")
    try:
        return checked_name("name", name, DefinitionError)
    except DefinitionError as error:
        raise DefinitionError(f"{error}: give it a name of its own with name=") from error


def place_of(declared: Any) -> str:
    """Return where a function or class is declared: its module as others import it, and its qualified name."""
    module: str = declared.__module__
    if module == "__main__":
        module = main_module()
    return f"{module}.{declared.__qualname__}"


def main_module() -> str:
    """Return the name by which a worker can import the program that is running as ``__main__``."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # python -m package.module
        return main.__spec__.name
    file = getattr(main, "__file__", None)
    return "__main__" if file is None else Path(file).stem


def colour_of(job_name: str, function: Callable[..., Any], options: Options) -> bool:
    """Return whether ``function`` is async; raise DefinitionError if it cannot be run as a job."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{job_name}: it has a yield, so calling it runs nothing: loop inside the job")
    is_async = inspect.iscoroutinefunction(function)
    if is_async and options.atomic:
        raise DefinitionError(
            f"{job_name}: atomic=True needs a synchronous job, whose transaction the worker can commit: "
            "make it a plain def"
        )
    return is_async


def wants_context(function: Callable[..., Any], context_type: type, *, skip_self: bool = False) -> bool:
    """Whether the first parameter of ``function`` (after ``self``) is annotated ``context_type``."""
    parameters = list(inspect.signature(function).parameters.values())[int(skip_self) :]
    if not parameters or parameters[0].kind not in POSITIONAL:
        return False
    first = parameters[0]
    try:
        return function_hints(function, [first]).get(first.name) is context_type
    except NameError:
        # Imported for the type checker only: the name is all there is to go by.
        return str(first.annotation).rpartition(".")[2] == context_type.__name__


def result_of(job_name: str, function: Callable[..., Any], options: Options) -> ReturnCodec | None:
    """Return how what ``function`` returns is kept; None where it is not. Raises DefinitionError."""
    return None if options.result_ttl is None else ReturnCodec(job_name, function)
