from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.loopback import Site, serving


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of files of this test alone; it is made when it is first needed."""
    folder = tmp_path / "file-cache"
    monkeypatch.setenv("FILE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site
