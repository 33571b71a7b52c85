"""The type checker knows what a job takes."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_jobs_are_typed_like_their_functions() -> None:
    """Mypy accepts right calls of ``enqueue`` and finds each wrong one in the usage file."""
    found, errors, status = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), str(ROOT / "tests/typing/definition_usage.py")]
    )
    assert (status, errors) == (0, ""), found
