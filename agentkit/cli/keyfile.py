"""A file that holds the API key, readable by its owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agentkit.errors import ConfigError
from agentkit.runtime.config import check_key
from agentkit.runtime.ids import new_secret

__all__ = ["key_in"]

PREFIX = "inf_"  # as the platform's keys begin


def key_in(path: Path) -> tuple[str, bool]:
    """The key in the file, and whether the file was made just now, with a new key. Raises ConfigError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path), False
    except OSError as error:
        raise ConfigError(
            f"the key file {str(path)!r} cannot be made: {error.strerror}; choose another --api-key-file"
        ) from None
    key = new_secret(PREFIX)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key + "\n")
    return key, True


def _read(path: Path) -> str:
    try:
        mode, key = path.stat().st_mode, path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"the key file {str(path)!r} cannot be read: {why}; give another --api-key-file") from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"the key file {str(path)!r} can be read by others; run: chmod 600 {path}")
    return check_key(key)
