"""Locks on files, by which processes know of each other: the system takes one away however its holder ends.

>>> import tempfile
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as folder:
...     sign = Path(folder, "sign")
...     held = create_locked(sign)
...     print(is_locked(sign))
...     held.release()
...     print(is_locked(sign))
True
False
"""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path

__all__ = ["HeldLock", "create_locked", "is_locked", "try_lock"]


class HeldLock:
    """A lock that this process holds until `release` or its end. What is forked from it does not hold it on."""

    def __init__(self, file: int) -> None:
        self._file: int | None = file
        _held.add(self)

    @property
    def is_held(self) -> bool:
        """Whether this process holds it still: not one that was forked since."""
        return self._file is not None

    def release(self) -> None:
        """Gives the lock up; again, nothing happens."""
        _held.discard(self)
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def create_locked(path: Path) -> HeldLock:
    """A new file of that name, locked. Raises OSError.

    It has its name only once it is locked, so nobody finds it without its lock; what is killed in between leaves
    the same name behind a dot.
    """
    if sys.platform == "win32":  # an open file keeps its name there, and cannot be removed by who takes it for left
        return _create(path)
    unfinished = path.with_name(f".{path.name}")
    held = _create(unfinished)
    try:
        unfinished.rename(path)
    except OSError:
        held.release()
        unfinished.unlink()
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
    except OSError:  # no locks to be had
        return True
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


# -- parts ---------------------------------------------------------------------------------------------------------


def _create(path: Path) -> HeldLock:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if not try_lock(file):
            raise BlockingIOError(f"{path} is new, and somebody holds its lock")
    except OSError:
        os.close(file)
        path.unlink()
        raise
    return HeldLock(file)


_held: weakref.WeakSet[HeldLock] = weakref.WeakSet()


def _let_go() -> None:
    """In a forked child: the lock is its parent's, and would outlive that one here."""
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
