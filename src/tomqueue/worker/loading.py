"""From a claimed row to something that can run: its definition, its arguments, its terms."""

import logging

from tomqueue.definition import JobDefinition, Loaded, Registry
from tomqueue.errors import UnreadableArguments
from tomqueue.job import Claimed
from tomqueue.payload import Keyring, vague
from tomqueue.redaction import SEALED
from tomqueue.store.atomic import AtomicTransaction
from tomqueue.store.sql import SqlStore
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.checkpoints import Checkpoints
from tomqueue.worker.context import JobContext
from tomqueue.worker.policies import Policies

__all__ = ["Loading"]


class Loading:
    """Fills an attempt from its row. Raises UnknownJob, UnknownKey and UnreadableArguments: the row is parked then."""

    def __init__(
        self, registry: Registry, policies: Policies, store: SqlStore, logger: logging.Logger, checkpoints: Checkpoints,
        *, keyring: Keyring,
    ) -> None:  # fmt: skip
        self._registry = registry
        self._policies = policies
        self._store = store
        self._logger = logger
        self._checkpoints = checkpoints
        self._keyring = keyring

    def __call__(self, attempt: Attempt) -> None:
        """Find the definition, read the arguments, and say what the job sees of itself."""
        job = attempt.job
        definition = attempt.definition = self._registry.find(job.name)
        loaded = attempt.loaded = self._loaded(definition, job)
        attempt.policy = self._policies.of(definition, loaded.target, job)
        transaction = AtomicTransaction(self._store) if definition.options.atomic else None
        attempt.context = JobContext(
            job, attempt.policy.max_attempts, self._logger, self._checkpoints, transaction, is_async=definition.is_async
        )

    def _loaded(self, definition: JobDefinition, job: Claimed) -> Loaded:
        if definition.options.encrypt:
            return definition.load(self._keyring.open(job.name, job.payload))
        try:
            return definition.load(job.payload)
        except UnreadableArguments:
            if not job.payload.startswith(SEALED):
                raise
        payload = self._keyring.open(job.name, job.payload)  # it was declared otherwise when it was enqueued
        try:
            return definition.load(payload)
        except UnreadableArguments:
            raise vague(job.name) from None
