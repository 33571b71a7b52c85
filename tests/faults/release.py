"""Which release of an application a process gets, where there are two: see deployed.py."""

__all__ = ["NEW", "OLD", "RELEASE"]

RELEASE = "FAULTS_RELEASE"
"""The environment variable that names a file, in which the release stands that a process gets that starts now."""
OLD, NEW = "old", "new"
