"""Where a download comes from, and where it goes: memory, or a file that appears when all of it is there."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import unquote, urlsplit

import anyio.to_thread

from agentkit.client.config import ClientConfig
from agentkit.errors import UsageError
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call

__all__ = ["ToDisk", "ToDiskAsync", "ToMemory", "ToMemoryAsync", "content_call"]

Progress = Callable[[int, int], Any]

OURS = "inf://files/"
NAMELESS = "download"
_UNSAFE = re.compile(r"[\x00-\x1f/\\:*?\"<>|]")


def content_call(file: Any, config: ClientConfig) -> tuple[Call[None], str]:
    """The GET of a file's bytes, and the name to keep it under. Raises UsageError for what lies nowhere."""
    uri, name = _where(file)
    if uri.startswith(OURS):
        file_id, _, rest = uri.removeprefix(OURS).partition("/")
        return _content(file_id), _safe(name or unquote(rest))
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        headers = config.headers if _origin(uri) == _origin(config.base_url) else {}
        found = name or PurePosixPath(unquote(parts.path)).name
        return Call("GET", "", lambda _: None, url=uri, headers=dict(headers)), _safe(found)
    if parts.scheme or "/" in uri or not uri:
        raise UsageError(f"{uri[:80]!r} cannot be downloaded; give a uri (https://..., inf://files/...) or a file's id")
    return _content(uri), _safe(name)


class _Sink:
    """Counts what comes."""

    def __init__(self, on_progress: Progress | None) -> None:
        self._on_progress = on_progress
        self._total: int | None = None
        self._come = 0

    def _begun(self, total: int | None) -> None:
        self._total, self._come = total, 0

    def _count(self, chunk: bytes) -> Any:
        """What the callback gave; where nobody knows how much is coming, its total is what has come."""
        self._come += len(chunk)
        return None if self._on_progress is None else self._on_progress(self._come, self._total or self._come)


class ToMemory(_Sink):
    """Keeps the bytes here."""

    data = b""

    def begin(self, total: int | None) -> None:
        """From the start, also after a try that broke."""
        self._begun(total)
        self._pieces: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        """The next piece."""
        self._pieces.append(chunk)
        self._count(chunk)

    def end(self) -> None:
        """That was all."""
        self.data = b"".join(self._pieces)


class ToMemoryAsync(ToMemory):
    """The async twin: the callback is awaited where it can be."""

    async def take(self, chunk: bytes) -> None:
        """The next piece."""
        self._pieces.append(chunk)
        await _awaited(self._count(chunk))


class ToDisk(_Sink):
    """Keeps the bytes beside the place they are for; moves them there when all are here, and leaves nothing else."""

    def __init__(self, to: str | os.PathLike[str], name: str, on_progress: Progress | None) -> None:
        super().__init__(on_progress)
        target = Path(to)
        self.path = target / name if target.is_dir() else target
        if not self.path.parent.is_dir():
            raise UsageError(f"there is no folder {str(self.path.parent)!r} to download into; create it first")
        self._partial = self.path.with_name(f".{self.path.name[:100]}.{uuid.uuid4().hex[:8]}.part")
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if error is not None:
            self._partial.unlink(missing_ok=True)

    def begin(self, total: int | None) -> None:
        """From the start, also after a try that broke."""
        self._begun(total)
        if self._file is None:
            self._file = self._partial.open("wb")
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """The next piece."""
        self._keep(chunk)
        self._count(chunk)

    def end(self) -> None:
        """That was all: the file appears."""
        if self._file is not None:
            self._file.close()
        os.replace(self._partial, self.path)

    def _keep(self, chunk: bytes) -> None:
        if self._file is not None:
            self._file.write(chunk)


class ToDiskAsync(ToDisk):
    """The async twin: the disk is written on a worker thread, the callback awaited where it can be."""

    async def take(self, chunk: bytes) -> None:
        """The next piece."""
        await anyio.to_thread.run_sync(self._keep, chunk)
        await _awaited(self._count(chunk))


async def _awaited(given: Any) -> None:
    if hasattr(given, "__await__"):
        await given


def _where(file: Any) -> tuple[str, str]:
    """The URI or id, and the file's name where it is told."""
    if isinstance(file, str):
        return file, ""
    uri: Any
    id_: Any
    name: Any
    match file:
        case {"uri": uri, **rest}:
            id_, name = rest.get("id"), rest.get("filename")
        case _:
            uri, id_, name = (getattr(file, each, None) for each in ("uri", "id", "filename"))
    where = uri or id_
    if not isinstance(where, str):
        raise UsageError(f"a file to download is a uri, an id or a record that has one, not {type(file).__name__}")
    return where, name if isinstance(name, str) else ""


def _content(file_id: str) -> Call[None]:
    return api.FILE_CONTENT.call(file_id=file_id)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _safe(name: str) -> str:
    """A name that stays in its folder."""
    return _UNSAFE.sub("_", PurePosixPath(name.replace("\\", "/")).name).strip(". ")[:200] or NAMELESS
