"""Folders that apps keep things in, and downloads into them."""

from __future__ import annotations

import os
import shutil
from enum import StrEnum
from pathlib import Path

from agentkit.apps.cache import cached_place
from agentkit.apps.file import File
from agentkit.errors import FileError

__all__ = ["StorageDir", "download"]


class StorageDir(StrEnum):
    """The folders of a worker of the platform; `path` is the one to use on this machine."""

    DATA = "/app/data"
    TEMP = "/app/tmp"
    CACHE = "/app/cache"

    @property
    def path(self) -> Path:
        """The folder itself where there is an `/app`, else one below the user's cache; made where it is missing."""
        there = Path(self.value)
        folder = there if there.parent.is_dir() else Path.home() / ".cache" / "agentkit" / "app" / there.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None
        return folder


def download(url: str, directory: str | os.PathLike[str]) -> str:
    """The path of the URL's bytes in a folder of yours, fetched once; in `StorageDir.TEMP` anew each time.

    Raises FileError.
    """
    folder = directory.path if isinstance(directory, StorageDir) else Path(directory)
    target = cached_place(url, folder)
    if directory is not StorageDir.TEMP and target.exists():
        return str(target)
    file = File(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".part-{os.getpid()}-{target.name}")
    shutil.copyfile(file, temporary)
    os.replace(temporary, target)
    return str(target)
