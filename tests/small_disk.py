"""A disk that is soon full: a small tmpfs in place of a folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

__all__ = ["can_mount", "filled", "small_disk"]


@cache
def can_mount() -> bool:
    """Say whether this user may mount: root, and in a container only where that has the right."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return mounted.returncode == 0


@contextmanager
def small_disk(folder: Path, megabytes: int, user: str | None = None) -> Iterator[None]:
    """Put a disk of that size in place of an empty folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        if user is not None:
            shutil.chown(folder, user, user)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Take all the room that is left on the disk of a folder."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while size := os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize:
                file.write(bytes(min(size, 2**20)))
        yield
    finally:
        ballast.unlink(missing_ok=True)
