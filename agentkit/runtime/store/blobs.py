"""The bytes of files, beside the database, each content once under its SHA-256.

A file is written to a temporary name, synced and renamed, so that a crash leaves either the whole content or none; the
next start removes what it left by half.
Everything is readable by its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from agentkit.errors import StoreError
from agentkit.runtime.leftovers import in_the_making, leftovers

__all__ = ["Blobs", "Partial", "TooLarge"]

CHUNK = 1 << 20
PART = ".part"  # begins the name of a content that is not whole yet


class TooLarge(Exception):
    """The content is above the limit; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Partial:
    """A content that is here, whole and synced, but has no name yet."""

    path: Path
    sha256: str
    size: int


class Blobs:
    """A folder of contents. `folder` None: a temporary one, removed on close."""

    def __init__(self, folder: Path | None, *, max_bytes: int = 1 << 30) -> None:
        self._given = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.max_bytes = max_bytes

    @property
    def folder(self) -> Path:
        """Where the contents lie, once opened."""
        return self._given if self._given is not None else Path(self._temporary.name if self._temporary else "")

    async def open(self) -> None:
        """Makes the folder. Raises StoreError where it cannot be used."""
        if self._given is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="agentkit-")
        try:
            await anyio.to_thread.run_sync(_make, self.folder)
        except OSError as error:
            raise StoreError(
                f"files cannot be kept in {str(self.folder)!r}: {error.strerror}; choose another --db"
            ) from None

    def close(self) -> None:
        """Removes the folder where it was a temporary one."""
        if self._temporary:
            self._temporary.cleanup()

    async def save(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        """Keeps the content; returns its SHA-256 and size. Raises TooLarge, StoreError (disk full)."""
        async with self.received(chunks) as partial:
            await self.keep(partial)
        return partial.sha256, partial.size

    @asynccontextmanager
    async def received(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[Partial]:
        """The content under a temporary name, gone on leaving unless it was kept. Raises TooLarge, StoreError."""
        path = in_the_making(self.folder / PART)
        try:
            with self._explained():
                sha256, size = await self._receive(path, chunks)
            yield Partial(path, sha256, size)
        finally:
            path.unlink(missing_ok=True)

    async def keep(self, partial: Partial) -> None:
        """Gives a received content its name, durably. Raises StoreError."""
        with self._explained():
            await anyio.to_thread.run_sync(_move, partial.path, self.path(partial.sha256))

    async def _receive(self, path: Path, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        handle = await anyio.to_thread.run_sync(_create, path)
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > self.max_bytes:
                    raise TooLarge(f"the file is larger than {self.max_bytes:,} bytes")
                digest.update(chunk)
                await anyio.to_thread.run_sync(_write, handle, chunk)
            await anyio.to_thread.run_sync(os.fsync, handle)
        finally:
            os.close(handle)
        return digest.hexdigest(), size

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"the file cannot be kept in {str(self.folder)!r}: {error.strerror}") from None

    def path(self, sha256: str) -> Path:
        """Where the content lies."""
        return self.folder / sha256

    async def read(self, sha256: str) -> bytes:
        """The whole content."""
        return await anyio.Path(self.path(sha256)).read_bytes()

    async def chunks(self, sha256: str) -> AsyncIterator[bytes]:
        """The content in parts."""
        async with await anyio.open_file(self.path(sha256), "rb") as file:
            while chunk := await file.read(CHUNK):
                yield chunk

    async def drop(self, sha256: str) -> None:
        """Removes a content that no record names any more."""
        await anyio.to_thread.run_sync(lambda: self.path(sha256).unlink(missing_ok=True))


def _make(folder: Path) -> None:
    """Makes the folder; what a server that was killed had received by half goes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in leftovers(folder / PART):
        each.unlink(missing_ok=True)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _move(source: Path, target: Path) -> None:
    """Gives the content its name, durably: the folder is synced too."""
    os.replace(source, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(handle: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(handle, view) :]
