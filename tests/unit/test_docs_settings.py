"""The page of settings is as the code is."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tomqueue.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| `([^`]+)` \|", re.MULTILINE)
FIELDS = msgspec.structs.fields(Settings)


def shown(default: Any) -> str:
    """Return a default as the page writes it."""
    return json.dumps(default) if isinstance(default, str) else repr(default)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_is_on_the_page(field: msgspec.structs.FieldInfo) -> None:
    """With its environment variable and its default, once."""
    assert ROW.findall(PAGE).count((field.name, f"TOMQUEUE_{field.name.upper()}", shown(field.default))) == 1


def test_no_other_setting_is_on_the_page() -> None:
    """What was removed from the code is removed from the page."""
    assert sorted(name for name, _, _ in ROW.findall(PAGE)) == sorted(field.name for field in FIELDS)
