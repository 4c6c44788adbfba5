"""Notices a second server on one database file. It is allowed (WAL), but rarely meant."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from agentkit.filelocks import try_lock

__all__ = ["alone_with"]


@contextmanager
def alone_with(db: str) -> Generator[bool]:
    """While entered, marks the file as served; tells whether nobody else does. True where that cannot be known."""
    if db == ":memory:" or sys.platform == "win32":
        yield True
        return
    try:
        file = os.fdopen(os.open(f"{db}.lock", os.O_RDWR | os.O_CREAT, 0o600), "ab")  # held open as long as the lock
    except OSError:
        yield True  # a folder we cannot write to: opening the database says so, and better
        return
    with file:
        try:
            is_alone = try_lock(file.fileno())
        except OSError:
            is_alone = True  # a file system without locks
        yield is_alone
