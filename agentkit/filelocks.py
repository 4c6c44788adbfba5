"""Locks on files, by which processes know of each other: the system takes one away however its holder ends.

>>> import os, tempfile
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as folder:
...     sign = Path(folder, "sign")
...     held = create_locked(sign)
...     print(is_locked(sign))
...     os.close(held)
...     print(is_locked(sign))
True
False
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["create_locked", "is_locked", "try_lock"]


def create_locked(path: Path) -> int:
    """A new file of that name, locked until the returned descriptor is closed or the process ends. Raises OSError.

    It has its name only once it is locked, so nobody finds it without its lock; what is killed in between leaves
    the same name behind a dot.
    """
    if sys.platform == "win32":  # an open file keeps its name there, and cannot be removed by who takes it for left
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try_lock(held)
        return held
    unfinished = path.with_name(f".{path.name}")
    held = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try_lock(held)
        unfinished.rename(path)
    except OSError:
        os.close(held)
        raise
    return held


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of this file. Without the file nobody does; who cannot look takes it for held."""
    try:
        probe = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:  # too many open files, say
        return True
    try:
        return not try_lock(probe, shared=True)  # two who look at the same time do not take each other for its holder
    finally:
        os.close(probe)


def try_lock(file: int, *, shared: bool = False) -> bool:
    """Locks the open file if that can be had at once; whether it is. Raises OSError where there are no locks."""
    if sys.platform == "win32":
        import msvcrt  # only there

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    import fcntl  # only there

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
