"""`client.files`: uploading, downloading, listing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, overload

import anyio.to_thread

from agentkit.client import uploads
from agentkit.client.downloads import ToDisk, ToDiskAsync, ToMemory, ToMemoryAsync, content_call
from agentkit.client.listing import AsyncPages, list_request, pages
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.client.uploads import UploadFileOptions
from agentkit.protocol import api, flows
from agentkit.wire import FileRecord, Page

__all__ = ["AsyncFiles", "Files"]

Progress = Callable[[int, int], Any]


class Files:
    """`client.files`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(
        self, data: Any, options: UploadFileOptions | None = None, *, on_progress: Progress | None = None
    ) -> FileRecord:
        """Uploads a local path, bytes, an open file, a `File`, a data URI or base64 text; `uri` names it from then on.

        A file on disk is sent piece by piece; `on_progress(sent, total)` tells how far it is, in bytes.
        """
        outgoing = uploads.from_anything(data, options)
        return self._transport.run(flows.upload(outgoing, on_progress=on_progress))

    @overload
    def download(self, file: Any, to: None = None, *, on_progress: Progress | None = None) -> bytes: ...

    @overload
    def download(self, file: Any, to: str | PathLike[str], *, on_progress: Progress | None = None) -> Path: ...

    def download(
        self, file: Any, to: str | PathLike[str] | None = None, *, on_progress: Progress | None = None
    ) -> bytes | Path:
        """The bytes of a file; with `to` written there, a file or a folder, and its path returned.

        `file`: a URI, a record, a `File`, or an output `{"uri": ...}`. What is at `to` is replaced when all is there,
        not before. The key goes to this client's own platform only.
        """
        call, name = content_call(file, self._transport.config)
        if to is None:
            memory = ToMemory(on_progress)
            self._transport.download(call, memory)
            return memory.data
        disk = ToDisk(to, name, on_progress)
        with disk:
            self._transport.download(call, disk)
        return disk.path

    def get(self, file_id: str) -> FileRecord:
        """One file's record."""
        return self._transport.send(api.GET_FILE.call(file_id=file_id))

    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[FileRecord]:
        """A page of the files, newest first."""
        return self._transport.send(api.LIST_FILES.call(list_request(cursor, limit)))

    def iterate(self, *, limit: int | None = None) -> Iterator[FileRecord]:
        """All files, newest first; `limit` is the size of a page."""
        return pages(lambda cursor: self.list(cursor=cursor, limit=limit))

    def delete(self, file_id: str) -> None:
        """Deletes a file."""
        self._transport.send(api.DELETE_FILE.call(file_id=file_id))


class AsyncFiles:
    """The async twin of `Files`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def upload(
        self, data: Any, options: UploadFileOptions | None = None, *, on_progress: Progress | None = None
    ) -> FileRecord:
        """See `Files.upload`."""
        outgoing = await anyio.to_thread.run_sync(uploads.from_anything, data, options, abandon_on_cancel=True)
        return await self._transport.run(flows.upload(outgoing, on_progress=on_progress))

    @overload
    async def download(self, file: Any, to: None = None, *, on_progress: Progress | None = None) -> bytes: ...

    @overload
    async def download(self, file: Any, to: str | PathLike[str], *, on_progress: Progress | None = None) -> Path: ...

    async def download(
        self, file: Any, to: str | PathLike[str] | None = None, *, on_progress: Progress | None = None
    ) -> bytes | Path:
        """See `Files.download`."""
        call, name = content_call(file, self._transport.config)
        if to is None:
            memory = ToMemoryAsync(on_progress)
            await self._transport.download(call, memory)
            return memory.data
        disk = ToDiskAsync(to, name, on_progress)
        with disk:
            await self._transport.download(call, disk)
        return disk.path

    async def get(self, file_id: str) -> FileRecord:
        """See `Files.get`."""
        return await self._transport.send(api.GET_FILE.call(file_id=file_id))

    async def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[FileRecord]:
        """See `Files.list`."""
        return await self._transport.send(api.LIST_FILES.call(list_request(cursor, limit)))

    def iterate(self, *, limit: int | None = None) -> AsyncIterator[FileRecord]:
        """See `Files.iterate`. Not awaited."""
        return AsyncPages(lambda cursor: self.list(cursor=cursor, limit=limit))

    async def delete(self, file_id: str) -> None:
        """See `Files.delete`."""
        await self._transport.send(api.DELETE_FILE.call(file_id=file_id))
