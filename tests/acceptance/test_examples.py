"""The examples run as their READMEs say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_quickstart_measures_the_standard_library(tmp_path: Path) -> None:
    """It ends with exit code 0, every file is accounted for, and the broken ones are listed with their errors."""
    folder = tmp_path / "quickstart"
    shutil.copytree(EXAMPLES / "quickstart", folder, ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    (folder / "quickstart.db").write_text("what an earlier run left: a run starts clean")
    result = subprocess.run(
        [sys.executable, "run.py"], cwd=folder, text=True, capture_output=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for broken in sorted((folder / "broken").glob("*.py")):
        assert f"broken/{broken.name}" in result.stdout
    assert "The ten longest functions" in result.stdout
    done, failed, total = re.findall(r"[\d,]+", result.stdout.partition("\nDone ")[2])[:3]
    assert number(done) + number(failed) == number(total) > 500


def number(text: str) -> int:
    """Return a number that was written with thousands separators."""
    return int(text.replace(",", ""))
