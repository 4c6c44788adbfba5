"""Files between the platform and an app: those that a task's input names come, those that it made are kept."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from agentkit.errors import AppError
from agentkit.runtime import dto
from agentkit.runtime.faults import Fault
from agentkit.runtime.files import OURS, Files
from agentkit.runtime.ports import LocalFile, TaskPart
from agentkit.runtime.records import StoredFile
from agentkit.runtime.store.blobs import TooLarge
from agentkit.tools.jsonable import is_array, is_object

__all__ = ["TaskFiles", "uris_in"]

CHUNK: Final = 1 << 20
NAME_BYTES: Final = 140
_URI: Final = re.compile(re.escape(OURS) + r"[0-9a-zA-Z_-]+(/[^\r\n]*)?")  # a file may have blanks in its name


class TaskFiles:
    """The files of tasks. Bytes are copied: an app that writes to its input changes nothing but its own copy."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def fetch(self, owner: str, value: Any, folder: Path, *, part: TaskPart = "input") -> dict[str, LocalFile]:
        """The platform's own files that the value (this part of a task) names anywhere, by URI, read-only in `folder`.

        Raises AppError for one that is not there, is somebody else's, or has no bytes yet.
        """
        return {uri: await self._fetch(owner, uri, folder, part) for uri in dict.fromkeys(uris_in(value))}

    async def keep(self, owner: str, file: LocalFile) -> dict[str, Any]:
        """Stores what an app made; what stands for it in the output: uri, content_type, size, filename.

        A file of the platform that the app handed back as it was keeps its URI. Raises AppError naming the path.
        """
        unless = None
        if file.uri.startswith(OURS):
            try:
                unless, _ = await self._files.whole(owner, file.uri)
            except Fault:
                unless = None  # deleted meanwhile: then what is handed back is a new file
        handle = await anyio.to_thread.run_sync(_opened, file.path, self._files.max_bytes)
        try:
            async with aclosing(_chunks(handle, file.path)) as chunks:
                record = await self._files.store(
                    owner,
                    chunks,
                    filename=file.filename or file.path.name,
                    content_type=file.content_type,
                    unless=unless,
                )
        except TooLarge:
            raise _too_large(file.path, self._files.max_bytes) from None
        finally:
            os.close(handle)
        return {
            "uri": dto.file_uri(record),
            "content_type": record.content_type,
            "size": record.size,
            "filename": record.filename,
        }

    async def keep_text(self, owner: str, text: str, *, filename: str) -> StoredFile:
        """Stores a text of the platform's own making. Raises TooLarge."""

        async def chunks() -> AsyncGenerator[bytes, None]:
            yield text.encode("utf-8", "replace")

        async with aclosing(chunks()) as given:
            return await self._files.store(owner, given, filename=filename, content_type="text/plain")

    async def _fetch(self, owner: str, uri: str, folder: Path, part: TaskPart) -> LocalFile:
        try:
            record, source = await self._files.whole(owner, uri)
        except Fault as error:
            raise AppError(f"the {part} names a file that cannot be had: {error.detail}") from None
        target = folder / record.id / _on_disk(record.filename)
        try:
            await anyio.to_thread.run_sync(_copy, source, target)
        except FileNotFoundError:
            raise AppError(f"the file {uri!r} was deleted while the task began") from None
        except OSError as error:
            raise AppError(f"the file {uri!r} cannot be put before the app: {error.strerror}") from None
        return LocalFile(target, uri, record.content_type, record.filename, record.size)


def uris_in(value: Any) -> Iterator[str]:
    """The platform's own URIs among the texts of a JSON value.

    >>> list(uris_in({"image": {"uri": "inf://files/f1/a.png"}, "text": "see inf://files/f2", "n": [1, "inf://files/f3"]}))
    ['inf://files/f1/a.png', 'inf://files/f3']
    """
    if isinstance(value, str):
        if _URI.fullmatch(value):
            yield value
    elif is_object(value):
        for each in value.values():
            yield from uris_in(each)
    elif is_array(value):
        for each in value:
            yield from uris_in(each)


# -- on the disk ---------------------------------------------------------------------------------------------------


def _on_disk(filename: str) -> str:
    """The name as one part of a path that every file system takes; its ending stays, apps look at it."""
    kept = "".join(letter for letter in filename if letter.isprintable() and letter not in '/\\:*?"<>|').strip(". ")
    stem, ending = os.path.splitext(kept or "file")
    ending = ending if len(ending.encode()) <= 20 else ""
    return (stem or "file").encode("utf-8", "replace")[: NAME_BYTES - 20].decode(errors="ignore") + ending


def _copy(source: Path, target: Path) -> None:
    """Copies without taking the bytes through this process, where the system can; an earlier copy is replaced."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with source.open("rb") as given, open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as copy:
        if not _copied_inside(given.fileno(), copy.fileno()):
            given.seek(0)
            copy.truncate(0)
            while chunk := given.read(CHUNK):
                copy.write(chunk)


def _copied_inside(source: int, target: int) -> bool:
    """Lets the kernel copy, on some file systems without any bytes being moved."""
    if not hasattr(os, "copy_file_range"):  # Linux has it
        return False
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError:
        return False
    return True


def _opened(path: Path, max_bytes: int) -> int:
    """The file, open; nothing that one could wait for, such as a pipe. Raises AppError."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise AppError(
            f"the app's output names the file {str(path)!r}, which cannot be read: {error.strerror}"
        ) from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
        raise AppError(f"the app's output names {str(path)!r}, which is {what}; give the path of a file")
    if found.st_size > max_bytes:
        os.close(handle)
        raise _too_large(path, max_bytes)
    return handle


async def _chunks(handle: int, path: Path) -> AsyncGenerator[bytes, None]:
    while True:
        try:
            chunk = await anyio.to_thread.run_sync(os.read, handle, CHUNK)
        except OSError as error:
            raise AppError(f"the app's output file {str(path)!r} cannot be read: {error.strerror}") from None
        if not chunk:
            return
        yield chunk


def _too_large(path: Path, max_bytes: int) -> AppError:
    return AppError(f"the app's output file {str(path)!r} is larger than the {max_bytes:,} bytes a file may have")
