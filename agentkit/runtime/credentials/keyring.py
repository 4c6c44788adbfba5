"""Where the keys come from that secrets are sealed with: the environment, or a file beside the database.

AGENTKIT_SECRET_KEY=<base64>[,<older>...]    the keys themselves
AGENTKIT_SECRET_KEY_FILE=/run/secrets/key    a file of them
<db>.key                                     else; made when the first secret is stored, mode 600
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import anyio
import anyio.to_thread

from agentkit.errors import ConfigError
from agentkit.runtime.credentials.sealing import Sealer, SecretKey, parse_keys

__all__ = ["FILE_VARIABLE", "KEY_VARIABLE", "Keyring"]

KEY_VARIABLE: Final = "AGENTKIT_SECRET_KEY"
FILE_VARIABLE: Final = "AGENTKIT_SECRET_KEY_FILE"
MEMORY: Final = ":memory:"


class Keyring:
    """The keys of one database, read when they are first needed. Without keys and file: one key, in memory."""

    def __init__(self, keys: Sequence[SecretKey] = (), *, file: Path | None = None) -> None:
        self._file = None if keys else file
        self._sealer = Sealer(keys or [SecretKey.new()]) if self._file is None else None
        self._turn = anyio.Lock()

    def __repr__(self) -> str:
        return f"Keyring({str(self._file) if self._file else 'in memory'})"

    @classmethod
    def of(cls, environ: Mapping[str, str], *, db: str | Path) -> Self:
        """The keyring that the environment names, else the file beside the database. Raises ConfigError."""
        if text := environ.get(KEY_VARIABLE, ""):
            return cls(parse_keys(text, name=KEY_VARIABLE))
        if path := environ.get(FILE_VARIABLE, ""):
            return cls(file=Path(path))
        return cls(file=None if str(db) == MEMORY else Path(f"{db}.key"))

    async def sealer(self, *, may_make: bool) -> Sealer | None:
        """The sealer; None where the key file is not there and may not be made. Raises ConfigError."""
        if self._file is not None:
            async with self._turn:
                if self._sealer is None:
                    self._sealer = await anyio.to_thread.run_sync(self._load, self._file, may_make)
        return self._sealer

    @property
    def place(self) -> str:
        """Where the keys are, for a sentence."""
        return f"the key file {str(self._file)!r}" if self._file else KEY_VARIABLE

    def _load(self, path: Path, may_make: bool) -> Sealer | None:
        """Blocks."""
        try:
            if not path.exists():
                if not may_make:
                    return None
                _make(path)
            return Sealer(_read(path))
        except OSError as error:
            raise ConfigError(
                f"{self.place} cannot be used: {error.strerror}; name another as {FILE_VARIABLE}, or give the key "
                f"itself as {KEY_VARIABLE}"
            ) from None


# -- the file ------------------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[SecretKey, ...]:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"the key file {str(path)!r} can be read by others; run: chmod 600 {path}")
    return parse_keys(path.read_text(encoding="ascii", errors="replace"), name=f"the key file {str(path)!r}")


def _make(path: Path) -> None:
    """A new key, whole on disk before its name is there; who comes second leaves the first one's alone."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{SecretKey.new().text}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        _settle(path.parent)
    finally:
        os.unlink(temporary)


def _settle(folder: Path) -> None:
    """The folder's entries, too, survive a power cut: without its key a secret is lost."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
