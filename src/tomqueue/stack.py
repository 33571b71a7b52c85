"""A stack of layers, as in Rack: each acts, proceeds, and acts on what comes back."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeAlias, TypeVar

from tomqueue.errors import SettingsError

__all__ = ["Insertions", "Layer", "Proceed", "Stack"]

C = TypeVar("C")
R = TypeVar("R")

Proceed: TypeAlias = Callable[[C], R]
Layer: TypeAlias = Callable[[C, Callable[[C], R]], R]


class Stack(Generic[C, R]):
    """An ordered list of layers, outermost first, around a core that ends the journey.

    A stack never changes: ``with_before`` and ``with_after`` return a new one.
    """

    def __init__(self, *layers: Layer[C, R], core: Callable[[C], R]) -> None:
        self._layers = layers
        self._core = core

    def __iter__(self) -> Iterator[Layer[C, R]]:
        return iter(self._layers)

    def names(self) -> list[str]:
        """Return the layers' names, outermost first."""
        return [name_of(layer) for layer in self._layers]

    def with_before(self, name: str, layer: Layer[C, R]) -> "Stack[C, R]":
        """Return a stack in which ``layer`` stands just outside the layer called ``name``."""
        return self._inserted(self._position(name), layer)

    def with_after(self, name: str, layer: Layer[C, R]) -> "Stack[C, R]":
        """Return a stack in which ``layer`` stands just inside the layer called ``name``."""
        return self._inserted(self._position(name) + 1, layer)

    def folded(self) -> Callable[[C], R]:
        """Return the whole stack as one callable."""
        run = self._core
        for layer in reversed(self._layers):
            run = bound(layer, run)
        return run

    def _inserted(self, position: int, layer: Layer[C, R]) -> "Stack[C, R]":
        return Stack(*self._layers[:position], layer, *self._layers[position:], core=self._core)

    def _position(self, name: str) -> int:
        if name not in self.names():
            raise SettingsError(f"no layer is called {name!r}; this stack has {', '.join(self.names())}")
        return self.names().index(name)


class Insertions(Generic[C, R]):
    """Layers of a user's own, to be put into a stack when it is built: ``insert(layer, before="Timeout")``."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = list(names)
        self._inserted: list[tuple[Layer[C, R], str, bool]] = []
        self._built = False

    def insert(self, layer: Layer[C, R], *, before: str | None = None, after: str | None = None) -> None:
        """Insert a layer just outside (``before``) or just inside (``after``) the layer of that name.

        Raises SettingsError when there is no such layer, or the stack is in use already and would not see it.
        """
        if self._built:
            raise SettingsError(f"the stack is in use: insert {name_of(layer)} where the application is set up")
        place = before or after
        if place is None or (before and after):
            raise SettingsError(f"say where: insert(layer, before=...) or after=..., one of {', '.join(self._names)}")
        if place not in self._names:
            raise SettingsError(f"no layer is called {place!r}; this stack has {', '.join(self._names)}")
        self._inserted.append((layer, place, before is not None))
        self._names.insert(self._names.index(place) + (before is None), name_of(layer))

    def into(self, stack: Stack[C, R]) -> Stack[C, R]:
        """Return ``stack`` with all insertions; there can be no more after that."""
        self._built = True
        for layer, place, is_before in self._inserted:
            stack = stack.with_before(place, layer) if is_before else stack.with_after(place, layer)
        return stack


def bound(layer: Layer[C, R], proceed: Callable[[C], R]) -> Callable[[C], R]:
    """Return ``layer`` with its way onward filled in."""
    return lambda context: layer(context, proceed)


def name_of(layer: Layer[C, R]) -> str:
    """Return the name by which a layer is found: its function's, or its class's."""
    return getattr(layer, "__name__", type(layer).__name__)
