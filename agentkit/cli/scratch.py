"""A folder for as long as a command takes. What a killed command left is removed by the next one.

Each holds a lock on a file in its folder; the system takes the lock away however the process ends.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agentkit.filelocks import create_locked, try_lock

__all__ = ["scratch_folder"]

PREFIX: Final = "agentkit-run-"
LOCK: Final = "lock"
UNLOCKED_SECONDS: Final = 60.0  # a folder without a lock that is younger than this is just being made


@contextmanager
def scratch_folder() -> Generator[Path]:
    """While entered, the folder is there, for this user alone. First removes those of commands that were killed."""
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        held = create_locked(Path(name, LOCK))
        try:
            yield Path(name)
        finally:
            held.release()


def _sweep(parent: Path) -> None:
    """Removes the folders of this user that nobody has locked; what cannot be removed stays."""
    if sys.platform == "win32":
        return
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(PREFIX) and _is_left(entry):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder of ours without an owner."""
    found = entry.stat(follow_symlinks=False)
    if not entry.is_dir(follow_symlinks=False) or found.st_uid != os.getuid():
        return False
    try:
        lock = os.open(Path(entry.path, LOCK), os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - found.st_mtime > UNLOCKED_SECONDS
    try:
        return try_lock(lock)
    finally:
        os.close(lock)
