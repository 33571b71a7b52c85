"""A site on a temporary SQLite file, with short times so that tests need not wait."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.site import Site

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path, sqlite_url: str) -> Iterator[MakeSite]:
    """Make sites with settings; their connections are closed afterwards."""
    sites: list[Site] = []

    def make(**settings: Any) -> Site:
        site = Site(tmp_path, sqlite_url, **{"heartbeat": 0.5, "lease": 3, "grace": 5, **settings})
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.tq.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Make a site with the usual settings."""
    return make_site()
