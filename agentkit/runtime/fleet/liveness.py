"""Whether the process that took a task is still there: each holds a lock on a file for as long as it lives.

The system takes the lock away however the process ends, so a name left in the store by a crash is known to be dead.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from agentkit.errors import StoreError
from agentkit.filelocks import HeldLock, create_locked, is_locked

__all__ = ["Liveness"]


class Liveness:
    """The engines of one database, in the folder `<database>.engines`. In memory there is nobody else.

    >>> engines = Liveness(":memory:")
    >>> engines.is_alive(engines.claim()), engines.is_alive("another")
    (True, False)
    """

    def __init__(self, database: str | Path) -> None:
        self._folder = None if str(database) == ":memory:" else Path(f"{Path(database).resolve()}.engines")
        self._engine_id: str | None = None
        self._held: HeldLock | None = None

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
        return self._folder is not None and is_locked(self._folder / _checked(engine_id))

    def release(self) -> None:
        """Gives the name up; it is dead then. In a forked process nothing happens to the one it was forked from."""
        if self._folder is not None and self._held is not None and self._engine_id is not None:
            with suppress(OSError):
                if self._held.is_held:
                    (self._folder / self._engine_id).unlink()
            self._held.release()
        self._engine_id = self._held = None

    def _sweep(self, folder: Path) -> None:
        """Removes what dead engines left: without a file an engine is dead too."""
        for path in folder.iterdir():
            if path.name.isalnum() and path.name != self._engine_id and not is_locked(path):
                with suppress(OSError):
                    path.unlink()


def _create(folder: Path, engine_id: str) -> HeldLock:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return create_locked(folder / engine_id)
    except OSError as error:
        raise StoreError(f"cannot mark this process in {str(folder)!r}: {error}; is the folder writable?") from error


def _checked(engine_id: str) -> str:
    if not engine_id.isalnum():
        raise StoreError(f"{engine_id!r} is no name of an engine")
    return engine_id
