"""Classes whose methods may be called later: ``@tq.target`` above the class."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from tomqueue.definition.asynchronous import Asynchronous
from tomqueue.definition.carriers import Carrier, Fields, References
from tomqueue.definition.encryption import NO_ENCRYPTION, Encryption
from tomqueue.definition.inspection import name_of, place_of
from tomqueue.definition.methods import MethodDefinition, found_in
from tomqueue.definition.options import Options
from tomqueue.errors import DefinitionError, UnknownMethod
from tomqueue.payload import check_names, field_names

__all__ = ["Target"]

NO_OPTIONS = Options()


class Target:
    """A class whose public methods may be called later.

    ``references`` says whether its objects are kept elsewhere, ``sessions`` opens the session that loads them;
    None is one of the jobs' database. Of ``options`` those count that say what is not shown. Raises DefinitionError.
    """

    def __init__(
        self,
        target_class: type,
        *,
        name: str | None,
        references: References,
        sessions: Any,
        context_type: type,
        options: Options = NO_OPTIONS,
        encryption: Encryption = NO_ENCRYPTION,
    ) -> None:
        if not isinstance(target_class, type):
            raise DefinitionError(f"@tq.target stands above a class, not above {target_class!r}")
        self.name = name_of(target_class, name)
        self.place = place_of(target_class)
        self.target_class = target_class
        self.sessions = sessions
        options.check(self.name)
        self._options = encryption.applied(options)
        self._encryption = encryption
        self._references = references
        self._context_type = context_type
        self._methods: dict[str, MethodDefinition] = {}
        self._carrier: Carrier | None = None
        for attribute, value in vars(target_class).items():
            if isinstance(value, classmethod | staticmethod) and isinstance(value.__func__, Asynchronous):
                raise DefinitionError(
                    f"{self.name}.{attribute}: put handle_asynchronously above @{type(value).__name__}, not below"
                )
            if isinstance(value, Asynchronous):
                self.method(attribute)
        check_names(self.name, options.redact, [*field_names(target_class), *self._parameters()])
        encryption.check(self.name, self._options)

    def __repr__(self) -> str:
        return f"<target {self.name}>"

    @property
    def carrier(self) -> Carrier:
        """How an instance travels; looked up at the first use, for a class may be mapped after it was declared."""
        if self._carrier is None:
            reference = self._references(self.target_class, self.name, self.sessions)
            self._carrier = reference or Fields(self.target_class, self.name)
        return self._carrier

    def kept_from_view(self, method: str, options: Options) -> Options:
        """Return a method's options with what the class says of redaction and encryption; raises DefinitionError."""
        encrypt = self._options.encrypt if options.encrypt is None else options.encrypt
        merged = replace(options, redact=(*self._options.redact, *options.redact), encrypt=encrypt)
        self._encryption.check(method, merged)
        return merged

    def _parameters(self) -> Iterator[str]:
        """Yield the names of all parameters of the methods: what the class redacts may be any of them."""
        for name in self.method_names():
            found = found_in(self.target_class, name)
            yield from () if found is None else inspect.signature(found.function).parameters

    def method_names(self) -> list[str]:
        """Return the names of the methods that may be called later, sorted."""
        names = {name for base in self.target_class.__mro__ for name in vars(base)}
        return sorted(name for name in names if found_in(self.target_class, name) is not None)

    def method(self, name: str) -> MethodDefinition:
        """Return a method as a job; raises UnknownMethod, DefinitionError for one whose arguments cannot travel."""
        known = self._methods.get(name)
        if known is None:
            found = found_in(self.target_class, name)
            if found is None:
                raise UnknownMethod(self._why_not(name))
            known = self._methods[name] = MethodDefinition(self, name, found, self._context_type)
        return known

    def _why_not(self, name: str) -> str:
        if name.startswith("_"):
            return f"{self.name}.{name} is private: only public methods can be called later"
        if any(name in vars(base) for base in self.target_class.__mro__):
            return f"{self.name}.{name} is no method written in Python: only those can be called later"
        near = get_close_matches(name, self.method_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.method_names()) or 'none'}"
        return f"{self.name} has no method {name!r}: {hint}"
