"""What may be shown of a job's arguments: the one function that every view asks, the command and ``tq.jobs`` alike."""

from typing import Any, Protocol

from tomqueue.definition import Registry
from tomqueue.errors import DefinitionError, Parked, UnknownJob
from tomqueue.payload import Keyring
from tomqueue.redaction import SEALED, Path, marks_of, plain_arguments

__all__ = ["UNDECLARED", "Disclosure", "Stored"]

UNDECLARED = "[not shown: the job is not declared here, which would say what to redact]"


class Stored(Protocol):
    """Whatever has a row's arguments: a Job, and what else keeps them."""

    @property
    def name(self) -> str:
        """The job's name."""

    @property
    def payload(self) -> str:
        """The arguments as they are stored."""

    @property
    def meta(self) -> str | None:
        """What the row tells about itself."""


class Disclosure:
    """Says what is shown of arguments. ``registry`` is None where the application is not known.

    A field is redacted if the job's declaration says so, or said so when the job was enqueued (its row tells). Where
    no declaration is known nothing is shown, because the row may be older than what it says by now.
    """

    def __init__(self, registry: Registry | None, keyring: Keyring) -> None:
        self._registry = registry
        self._keyring = keyring
        self._known: dict[str, tuple[Path, ...] | None] = {}

    def arguments(self, job: Stored, *, reveal: bool = False) -> Any:
        """Return a job's arguments as plain JSON values, or a text that says why they are not shown.

        ``reveal`` shows also those of jobs that are not declared here, and decrypts; what is redacted stays so.
        """
        declared = self._redacted(job.name)
        if not reveal:
            if job.payload.startswith(SEALED) or declared is not None:
                return plain_arguments(job.payload, (*marks_of(job.meta), *(declared or ())))
            return UNDECLARED
        try:
            payload = self._keyring.open(job.name, job.payload)
        except Parked as error:
            return f"[encrypted: {error}]"
        return plain_arguments(payload, (*marks_of(job.meta), *(declared or ())))

    def is_whole(self, job: Stored) -> bool:
        """Say whether nothing of a job's arguments is kept from view, so that its text may be shown as it is."""
        return self._redacted(job.name) == () and not marks_of(job.meta) and not job.payload.startswith(SEALED)

    def _redacted(self, name: str) -> tuple[Path, ...] | None:
        """Return the paths that the declaration redacts; None where there is no declaration."""
        if name not in self._known:
            self._known[name] = self._looked_up(name)
        return self._known[name]

    def _looked_up(self, name: str) -> tuple[Path, ...] | None:
        if self._registry is None:
            return None
        try:
            definition = self._registry.find(name)
            redacted = definition.redacted if definition.options.redact else ()
        except (UnknownJob, DefinitionError):  # a declaration that cannot be used says nothing
            return None
        return redacted
