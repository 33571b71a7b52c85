"""Which jobs may run here: only names that the application declared (nothing is imported by name)."""

from difflib import get_close_matches
from typing import Any

from tomqueue.definition.classes import ClassDefinition
from tomqueue.definition.prepared import JobDefinition
from tomqueue.definition.schedule import Schedule
from tomqueue.errors import DefinitionError, UnknownJob

__all__ = ["Registry"]


class Registry:
    """The jobs of one TomQueue, by name and by class."""

    def __init__(self) -> None:
        self._by_name: dict[str, JobDefinition] = {}
        self._by_class: dict[type, ClassDefinition[Any]] = {}

    def add(self, definition: JobDefinition) -> None:
        """Declare a job; the same place again (a reloaded module) replaces it.

        Raises DefinitionError if another function or class has the name already.
        """
        known = self._by_name.get(definition.name)
        if known is not None and known.place != definition.place:
            raise DefinitionError(
                f"two jobs are called {definition.name!r}: {known.place} and {definition.place}; "
                "give one of them another name"
            )
        self._by_name[definition.name] = definition
        if isinstance(known, ClassDefinition):
            self._by_class.pop(known.job_class, None)
        if isinstance(definition, ClassDefinition):
            self._by_class[definition.job_class] = definition

    def find(self, name: str) -> JobDefinition:
        """Return the job called ``name``; raises UnknownJob."""
        try:
            return self._by_name[name]
        except KeyError:
            near = get_close_matches(name, self._by_name, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "is the module that declares it imported?"
            raise UnknownJob(f"no job is called {name!r} here: {hint}") from None

    def of_class(self, job_class: type) -> ClassDefinition[Any]:
        """Return the job that ``job_class`` was declared as; raises DefinitionError."""
        try:
            return self._by_class[job_class]
        except KeyError:
            place = f"{job_class.__module__}.{job_class.__qualname__}"
            raise DefinitionError(f"{place} is not declared as a job: put @tq.job above the class") from None

    def schedules(self) -> dict[str, Schedule]:
        """Return the schedules of the periodic jobs, by their names."""
        jobs = self._by_name.values()
        return {job.name: job.schedule for job in jobs if job.schedule is not None}

    def names(self) -> list[str]:
        """Return the names of all jobs, sorted."""
        return sorted(self._by_name)
