"""Whether the process that took a task is still there: each holds a lock on a file for as long as it lives.

The system takes the lock away however the process ends, so a name left in the store by a crash is known to be dead.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from agentkit.errors import StoreError

__all__ = ["Liveness"]

UNFINISHED: Final = "."  # in front of the name of a file that is not locked yet


class Liveness:
    """The engines of one database, in the folder `<database>.engines`. In memory there is nobody else.

    >>> engines = Liveness(":memory:")
    >>> engines.is_alive(engines.claim()), engines.is_alive("another")
    (True, False)
    """

    def __init__(self, database: str | Path) -> None:
        self._folder = None if str(database) == ":memory:" else Path(f"{database}.engines")
        self._engine_id: str | None = None
        self._held: int | None = None

    def claim(self) -> str:
        """A new name for this process, alive until `release` or its end. Raises StoreError."""
        if self._engine_id is None:
            engine_id = secrets.token_hex(8)
            if self._folder is not None:
                self._held = _create(self._folder, engine_id)
                self._sweep(self._folder)
            self._engine_id = engine_id
        return self._engine_id

    def is_alive(self, engine_id: str) -> bool:
        """Whether the process of that name is there, this one included."""
        if engine_id == self._engine_id:
            return True
        return self._folder is not None and _is_locked(self._folder / _checked(engine_id))

    def release(self) -> None:
        """Gives the name up; it is dead then."""
        if self._folder is not None and self._held is not None and self._engine_id is not None:
            with suppress(OSError):
                (self._folder / self._engine_id).unlink()
            os.close(self._held)
        self._engine_id = self._held = None

    def _sweep(self, folder: Path) -> None:
        """Removes what dead engines left: without a file an engine is dead too."""
        for path in folder.iterdir():
            if path.name != self._engine_id and not path.name.startswith(UNFINISHED) and not _is_locked(path):
                with suppress(OSError):
                    path.unlink()


def _create(folder: Path, engine_id: str) -> int:
    """A locked file of that name. It has it only once it is locked, so nobody finds it without."""
    unfinished = folder / f"{UNFINISHED}{engine_id}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _lock(held, shared=False)
        unfinished.rename(folder / engine_id)
    except OSError as error:
        raise StoreError(f"cannot mark this process in {str(folder)!r}: {error}; is the folder writable?") from error
    return held


def _checked(engine_id: str) -> str:
    if not engine_id.isalnum():
        raise StoreError(f"{engine_id!r} is no name of an engine")
    return engine_id


def _is_locked(path: Path) -> bool:
    try:
        probe = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        _lock(probe, shared=True)  # two who look at the same time do not take each other for its owner
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(probe)


def _lock(file: int, *, shared: bool) -> None:
    """Locks the open file, or raises OSError at once."""
    if sys.platform == "win32":
        import msvcrt  # only there

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # only there

        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
