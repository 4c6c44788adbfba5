"""Folders of apps, and downloads into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.apps import StorageDir, download
from agentkit.errors import FileError
from tests.apps.loopback import Site


def test_a_download_is_kept_in_the_folder_and_fetched_once(site: Site, tmp_path: Path) -> None:
    site.files["/weights.bin"] = b"weights"
    first = download(f"{site.url}/weights.bin?v=1", tmp_path / "models")
    assert Path(first).read_bytes() == b"weights" and Path(first).is_relative_to(tmp_path / "models")
    assert download(f"{site.url}/weights.bin?v=1", str(tmp_path / "models")) == first
    assert len(site.asked) == 1
    with pytest.raises(FileError, match="HTTP 404"):
        download(f"{site.url}/none.bin", tmp_path / "models")
    assert [path.name for path in (tmp_path / "models").rglob("*") if path.is_file()] == ["weights.bin"]


def test_a_storage_folder_is_made_below_the_users_cache_on_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert StorageDir.DATA == "/app/data"
    if not Path("/app").exists():  # as on the workers of the platform
        assert StorageDir.DATA.path == tmp_path / ".cache" / "agentkit" / "app" / "data"
        assert StorageDir.DATA.path.is_dir()
        monkeypatch.setenv("HOME", "/dev/null")
        with pytest.raises(FileError, match="cannot make the folder"):
            assert StorageDir.CACHE.path
