"""Which release of an application a process gets, where there are two: see deployed.py."""

import os
from pathlib import Path

__all__ = ["NEW", "OLD", "RELEASE", "note_of"]

RELEASE = "FAULTS_RELEASE"
"""The environment variable that names a file, in which the release stands that a process gets that starts now."""
OLD, NEW = "old", "new"


def note_of(pid: int, release: Path | None = None) -> Path:
    """Return the file in which a process says what it got, once it has looked."""
    named = release or Path(os.environ[RELEASE])
    return named.with_name(f"{named.name}-{pid}")
