"""Whether a job's arguments are encrypted where nothing is said, and whether they can be."""

from dataclasses import replace
from typing import NamedTuple

from tomqueue.definition.options import Options
from tomqueue.errors import DefinitionError

__all__ = ["NO_ENCRYPTION", "Encryption"]


class Encryption(NamedTuple):
    """What the settings say: ``usual`` is for jobs that do not say; ``has_key`` whether any can be encrypted."""

    usual: bool
    has_key: bool

    def applied(self, options: Options) -> Options:
        """Return ``options`` that say whether the arguments are encrypted."""
        return options if options.encrypt is not None else replace(options, encrypt=self.usual)

    def check(self, job_name: str, options: Options) -> None:
        """Raise DefinitionError for a job that is to be encrypted where there is no key."""
        if options.encrypt and not self.has_key:
            raise DefinitionError(
                f"{job_name}: encrypt=True needs a key: set TOMQUEUE_ENCRYPTION_KEYS, or TomQueue(encryption_keys=…); "
                "make one with `tomqueue generate-key`"
            )


NO_ENCRYPTION = Encryption(usual=False, has_key=False)
