"""Notices a second server on one database file. It is allowed (WAL), but rarely meant."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["alone_with"]


@contextmanager
def alone_with(db: str) -> Generator[bool]:
    """While entered, marks the file as served; tells whether nobody else does. True where that cannot be known."""
    if db == ":memory:" or sys.platform == "win32":
        yield True
        return
    import fcntl  # not on Windows

    try:
        file = os.fdopen(os.open(f"{db}.lock", os.O_RDWR | os.O_CREAT, 0o600), "ab")  # held open as long as the lock
    except OSError:
        yield True  # a folder we cannot write to: opening the database says so, and better
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
