"""The folder of documents."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from agentkit import UsageError


@dataclass(frozen=True)
class Document:
    """One file. It is known by its content: the same receipt under another name is the same document."""

    name: str
    data: bytes
    problem: str = ""  # why there is no text, if the file could not be read

    @classmethod
    def read(cls, path: Path) -> Document:
        """The file, or the reason why it cannot be read."""
        try:
            data = path.read_bytes()
        except OSError as error:
            return cls(path.name, b"", f"cannot be read: {error.strerror or error}")
        if not is_text(data):
            return cls(path.name, data, "is no UTF-8 text")
        return cls(path.name, data)

    @cached_property
    def digest(self) -> str:
        """64 hex digits that stand for the content."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def text(self) -> str:
        """What the agent reads."""
        return self.data.decode("utf-8-sig")


def is_text(data: bytes) -> bool:
    """Whether the bytes are UTF-8 without control characters other than blanks."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return "\0" not in text


def read_documents(folder: Path) -> list[Document]:
    """The files of the folder by name, hidden ones left out. Raises UsageError where there are none."""
    if not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is no folder; name the one with your documents: --documents DIR")
    files = [path for path in folder.iterdir() if path.is_file() or path.is_symlink()]
    paths = sorted(path for path in files if not path.name.startswith("."))
    if not paths:
        raise UsageError(f"there is no document in {str(folder)!r}")
    return [Document.read(path) for path in paths]
