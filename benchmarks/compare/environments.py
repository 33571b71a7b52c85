"""An environment for each contender, with the versions that its requirements.txt pins; made once and kept in .bench."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.compare.contender import Contender

__all__ = ["programs_of"]

KEPT = Path(__file__).parents[2] / ".bench"


def programs_of(contender: Contender) -> Path:
    """Return the folder of the programs of a contender's environment; make it, unless it is there."""
    if contender.ours:
        return Path(sys.executable).parent
    folder, requirements = KEPT / contender.program, contender.folder / "requirements.txt"
    stamp, wanted = folder / "installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {contender.program} into .bench/{contender.program}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        command = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*command, "install", "--requirement", str(requirements)], check=True)
        stamp.write_text(wanted)
    return folder / "bin"
