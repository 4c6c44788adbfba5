"""Where the bytes of an upload come from: memory, a file on disk, an open file. None is ever held in memory whole.

Each can be read from its beginning again and again, because an upload that breaks is sent again.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import anyio.to_thread
import httpx

from agentkit.errors import UsageError
from agentkit.protocol.flows import Source

__all__ = ["AsyncChunks", "FileSource", "HandleSource", "MemorySource", "chunks_of", "source_of_handle"]

CHUNK_BYTES: Final = 256 * 1024
HEAD_BYTES: Final = 16

Progress = Callable[[int, int], Any]


@dataclass(frozen=True, slots=True)
class MemorySource:
    """Bytes that are here."""

    data: bytes

    @property
    def size(self) -> int:
        """How many."""
        return len(self.data)

    @property
    def blocks(self) -> bool:
        """Whether reading may take a while."""
        return False

    def head(self) -> bytes:
        """The first few."""
        return self.data[:HEAD_BYTES]

    def chunks(self) -> Iterator[bytes]:
        """All of them, in pieces."""
        for start in range(0, len(self.data), CHUNK_BYTES):
            yield self.data[start : start + CHUNK_BYTES]


class FileSource:
    """A file on disk, as long as it was when this was made. Raises UsageError where it cannot be read."""

    def __init__(self, path: str | os.PathLike[str], *, is_ours: bool = False) -> None:
        self.path = Path(path)
        self.size = self._size()
        self.blocks = True
        if is_ours:
            weakref.finalize(self, self.path.unlink, missing_ok=True)

    def head(self) -> bytes:
        """The first few bytes."""
        with self._open() as file:
            return file.read(HEAD_BYTES)

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces; what was appended meanwhile stays out."""
        with self._open() as file:
            yield from _read(file, self.size, str(self.path))

    def _size(self) -> int:
        try:
            found = self.path.stat()
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {str(self.path)!r}: {getattr(error, 'strerror', error)}") from None
        if not stat.S_ISREG(found.st_mode):
            what = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise UsageError(f"{str(self.path)!r} is {what}; upload the files themselves, or a zip of them")
        return found.st_size

    def _open(self) -> io.BufferedReader:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise UsageError(f"cannot read {str(self.path)!r}: {error.strerror}") from None


class HandleSource:
    """What is left to read of an open file that can be rewound."""

    def __init__(self, handle: IO[bytes], *, start: int, size: int) -> None:
        self._handle = handle
        self._start = start
        self.size = size
        self.blocks = True

    def head(self) -> bytes:
        """The first few bytes."""
        self._handle.seek(self._start)
        return self._handle.read(HEAD_BYTES)

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces."""
        try:
            self._handle.seek(self._start)
        except ValueError:
            raise UsageError("this file was closed before it was sent; keep it open until the upload is over") from None
        yield from _read(self._handle, self.size, str(getattr(self._handle, "name", "an open file")))


def source_of_handle(handle: Any) -> FileSource | HandleSource:
    """The source of an open binary file. One that cannot be rewound, a pipe, is first copied to a temporary file."""
    if isinstance(handle, io.TextIOBase):
        raise UsageError("this file is open as text; open it with mode 'rb'")
    try:
        if handle.seekable():
            start = handle.tell()
            size = handle.seek(0, os.SEEK_END) - start
            handle.seek(start)
            return HandleSource(handle, start=start, size=size)
    except (AttributeError, OSError):
        pass
    except ValueError:
        raise UsageError("this file is closed; open it again") from None
    return _copied(handle)


def chunks_of(source: Source, on_progress: Progress | None = None) -> Iterator[bytes]:
    """The pieces, telling how many bytes of how many have been taken."""
    sent = 0
    for chunk in source.chunks():
        yield chunk
        sent += len(chunk)
        if on_progress is not None:
            on_progress(sent, source.size)
    if not sent and on_progress is not None:
        on_progress(0, 0)


class AsyncChunks(httpx.AsyncByteStream):
    """The async twin of `chunks_of`; the disk is read on a worker thread.

    An iterator and no generator: one that a broken connection drops half-way leaves nothing to be closed.
    """

    def __init__(self, source: Source, on_progress: Progress | None = None) -> None:
        self._source = source
        self._on_progress = on_progress
        self._chunks = source.chunks()
        self._sent = 0
        self._taken: int | None = None  # of the piece that is being sent

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._taken is not None:
            await self._tell(self._taken)
        chunk = await anyio.to_thread.run_sync(self._next) if self._source.blocks else self._next()
        if not chunk:
            if self._taken is None:
                await self._tell(0)
            self._taken = None
            raise StopAsyncIteration
        self._taken = len(chunk)
        return chunk

    def _next(self) -> bytes:
        return next(self._chunks, b"")

    async def _tell(self, taken: int) -> None:
        self._sent += taken
        if self._on_progress is not None:
            given = self._on_progress(self._sent, self._source.size)
            if hasattr(given, "__await__"):
                await given


def _read(file: IO[bytes], size: int, name: str) -> Iterator[bytes]:
    left = size
    while left:
        try:
            chunk = file.read(min(CHUNK_BYTES, left))
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {name!r}: {error}") from None
        if not chunk:
            raise UsageError(f"{name!r} became shorter while it was sent: {left} of {size} bytes are missing")
        left -= len(chunk)
        yield chunk


def _copied(handle: Any) -> FileSource:
    descriptor, path = tempfile.mkstemp(prefix="agentkit-upload-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := handle.read(CHUNK_BYTES):
                if not isinstance(chunk, bytes | bytearray):
                    raise UsageError(f"a file gives bytes, and {type(handle).__name__}.read() gave {chunk!r:.40}")
                file.write(chunk)
        return FileSource(path, is_ours=True)
    except BaseException:
        os.unlink(path)
        raise
