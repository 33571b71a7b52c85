"""What machine this is, as far as results depend on it."""

import os
import platform
from pathlib import Path

__all__ = ["about_machine"]


def about_machine() -> str:
    """Return processor, cores, system and Python in a few words."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores of {processor}, {platform.system()}, Python {platform.python_version()}"
