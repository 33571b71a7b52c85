"""Which jobs may run here: only names that the application declared (nothing is imported by name)."""

from difflib import get_close_matches
from typing import Any

from tomqueue.definition.classes import ClassDefinition
from tomqueue.definition.limit import Limit
from tomqueue.definition.methods import MethodDefinition, found_in
from tomqueue.definition.prepared import JobDefinition, NamedDefinition, Prepared
from tomqueue.definition.schedule import Schedule
from tomqueue.definition.targets import Target
from tomqueue.errors import DefinitionError, UnknownJob

__all__ = ["Registry"]


class Registry:
    """The jobs of one TomQueue, by name and by class, and the classes whose methods may be called later."""

    def __init__(self) -> None:
        self._by_name: dict[str, NamedDefinition] = {}
        self._by_class: dict[type, ClassDefinition[Any]] = {}
        self._targets: dict[str, Target] = {}
        self._target_of: dict[type, Target] = {}

    def add(self, definition: NamedDefinition) -> None:
        """Declare a job; the same place again (a reloaded module) replaces it.

        Raises DefinitionError if another function or class has the name already.
        """
        known = self._by_name.get(definition.name)
        check_same(definition.name, known, definition.place)
        owner = self._owner_of(definition.name)
        if owner is not None:
            check_same(definition.name, owner, definition.place)
        self._by_name[definition.name] = definition
        if isinstance(known, ClassDefinition):
            self._by_class.pop(known.job_class, None)
        if isinstance(definition, ClassDefinition):
            self._by_class[definition.job_class] = definition

    def add_target(self, target: Target) -> None:
        """Let a class's methods be called later; the same place again (a reloaded module) replaces it.

        Raises DefinitionError if another class has the name already, or a job the name of one of its methods.
        """
        known = self._targets.get(target.name)
        check_same(target.name, known, target.place)
        for method in target.method_names():
            check_same(f"{target.name}.{method}", self._by_name.get(f"{target.name}.{method}"), target.place)
        if known is not None:
            self._target_of.pop(known.target_class, None)
        self._targets[target.name] = self._target_of[target.target_class] = target

    def find(self, name: str) -> JobDefinition:
        """Return the job called ``name``; raises UnknownJob."""
        found = self._by_name.get(name) or self._method(name)
        if found is None:
            near = get_close_matches(name, self.names(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "is the module that declares it imported?"
            raise UnknownJob(f"no job is called {name!r} here: {hint}")
        return found

    def _method(self, name: str) -> MethodDefinition | None:
        """Return the method of a target that is called ``name``, None if there is none."""
        owner = self._owner_of(name)
        if owner is None:
            return None
        try:
            return owner.method(name.rpartition(".")[2])
        except DefinitionError as error:  # nobody here could have enqueued it
            raise UnknownJob(f"{name} cannot be called later here: {error}") from error

    def _owner_of(self, name: str) -> Target | None:
        """Return the target whose method is called ``name``."""
        owner, _, method = name.rpartition(".")
        target = self._targets.get(owner)
        return target if target is not None and found_in(target.target_class, method) is not None else None

    def of_class(self, job_class: type) -> ClassDefinition[Any]:
        """Return the job that ``job_class`` was declared as; raises DefinitionError."""
        try:
            return self._by_class[job_class]
        except KeyError:
            place = f"{job_class.__module__}.{job_class.__qualname__}"
            raise DefinitionError(f"{place} is not declared as a job: put @tq.job above the class") from None

    def of_object(self, job: object) -> ClassDefinition[Any]:
        """Return the job that the class of ``job`` was declared as; raises DefinitionError with the cure."""
        if type(job) in self._by_class:
            return self._by_class[type(job)]
        if isinstance(job, type) and job in self._by_class:
            raise DefinitionError(f"{job.__qualname__} is a class: enqueue an instance, tq.enqueue({job.__name__}(…))")
        if hasattr(job, "using"):  # a function's
            raise DefinitionError(f"{job!r} is enqueued by its own method, with its arguments: .enqueue(…)")
        if isinstance(job, list | tuple):
            raise DefinitionError("tq.enqueue takes one job: give several prepared calls to tq.enqueue_many(…)")
        return self.of_class(type(job))

    def schedules(self) -> dict[str, Schedule]:
        """Return the schedules of the periodic jobs, by their names."""
        jobs = self._by_name.values()
        return {job.name: job.schedule for job in jobs if job.schedule is not None}

    def limits(self) -> list[Limit]:
        """Return what the limited jobs allow."""
        jobs = [job.limiting for job in self._by_name.values()]
        return [one.limit for one in jobs if one is not None and one.limit is not None]

    def periodic(self, name: str) -> Prepared:
        """Return what a tick of the periodic job called ``name`` enqueues."""
        return self._by_name[name].without_arguments()

    def target_of(self, target_class: type) -> Target:
        """Return the target that ``target_class`` was declared as; raises DefinitionError."""
        try:
            return self._target_of[target_class]
        except KeyError:
            place = f"{target_class.__module__}.{target_class.__qualname__}"
            job = f"it is a job: write tq.enqueue({target_class.__name__}(…))"
            cure = job if target_class in self._by_class else "put @tq.target above the class"
            raise DefinitionError(f"{place} is not declared as a target of delayed calls: {cure}") from None

    def encrypted(self) -> list[str]:
        """Return the names of the jobs whose arguments are encrypted, sorted."""
        return [name for name in self.names() if self._encrypts(name)]

    def _encrypts(self, name: str) -> bool:
        try:
            return bool(self.find(name).options.encrypt)
        except UnknownJob:  # a method that cannot be called later
            return False

    def names(self) -> list[str]:
        """Return the names of all jobs, sorted; of a target all that its methods could have."""
        methods = (f"{target.name}.{method}" for target in self._targets.values() for method in target.method_names())
        return sorted([*self._by_name, *methods])


def check_same(name: str, known: JobDefinition | Target | None, place: str) -> None:
    """Raise DefinitionError if ``name`` is that of something declared at another place."""
    if known is not None and known.place != place:
        raise DefinitionError(f"two jobs are called {name!r}: {known.place} and {place}; give one of them another name")
