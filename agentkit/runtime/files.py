"""Files: announced, sent once, read by their URI, and put into messages."""

from __future__ import annotations

import hmac
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from agentkit.apps.content_type import guess_content_type
from agentkit.runtime import dto, pages
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed, new_id, new_secret
from agentkit.runtime.ports import Reading, Store, Writing
from agentkit.runtime.records import StoredFile
from agentkit.runtime.service import Service
from agentkit.runtime.store.blobs import Blobs, Partial, TooLarge
from agentkit.wire import ChatTaskInput, CreateFilesRequest, CursorListRequest

__all__ = ["OURS", "Files", "file_id_in"]

OURS = "inf://files/"
MOST_AT_ONCE = 1_000  # files of one request: one transaction, and everybody's writes wait for it
INLINE_BYTES = 1 << 20  # a text attachment up to this size is put before the model as text


class Files(Service):
    """Everything about files. `base_url` is where the caller reached us: upload URLs are absolute."""

    def __init__(self, store: Store, *, blobs: Blobs) -> None:
        super().__init__(store)
        self._blobs = blobs
        # A content may get its last record deleted and a new one at once: naming and removing take turns.
        self._naming = anyio.Lock()

    async def create(self, owner: str, request: CreateFilesRequest, *, base_url: str) -> list[dict[str, Any]]:
        """POST /files: records, and where to PUT their bytes."""
        if len(request.files) > MOST_AT_ONCE:
            raise Fault("invalid_request", f"{len(request.files):,} files at once; announce at most {MOST_AT_ONCE:,}")

        def change(tx: Writing) -> list[dict[str, Any]]:
            answers: list[dict[str, Any]] = []
            for each in request.files:
                token = new_secret()
                record = tx.insert(
                    StoredFile(
                        id=new_id(),
                        owner=owner,
                        filename=each.filename or "",
                        content_type=each.content_type or "",  # told by its name and its bytes, once they are here
                        size=each.size,
                        path=each.path or "",
                        public=bool(each.public),
                        upload_token=hashed(token),
                    )
                )
                answers.append(dto.file(_shown(record), base_url=base_url, upload_token=token))
            return answers

        return await self._write(change)

    @property
    def max_bytes(self) -> int:
        """How large a file may be."""
        return self._blobs.max_bytes

    async def put(self, file_id: str, token: str, chunks: AsyncIterable[bytes]) -> None:
        """PUT of the bytes, once, with the token of the answer that announced the file.

        One that is cut off leaves nothing, and the URL stays good.
        """
        record = await self._store.read(lambda tx: tx.get(StoredFile, file_id))
        if record is None or record.upload_token is None or not hmac.compare_digest(record.upload_token, hashed(token)):
            raise Fault("forbidden", "this upload URL is not valid, or was used already; announce the file again")
        try:
            async with self._blobs.received(chunks) as partial:
                kind = record.content_type or await _guess(partial.path, record.filename)
                await self._name(partial, lambda tx: _arrived(tx, record, partial, kind))
        except TooLarge as error:
            raise Fault("payload_too_large", str(error)) from None

    async def store(
        self,
        owner: str,
        chunks: AsyncIterable[bytes],
        *,
        filename: str,
        content_type: str = "",
        unless: StoredFile | None = None,
    ) -> StoredFile:
        """A file of our own making. `unless` stands for it where the bytes are the same. Raises TooLarge."""
        async with self._blobs.received(chunks) as partial:
            if unless is not None and unless.sha256 == partial.sha256:
                return unless
            record = StoredFile(
                id=new_id(),
                owner=owner,
                filename=filename,
                content_type=content_type or await _guess(partial.path, filename),
                size=partial.size,
                sha256=partial.sha256,
            )
            return await self._name(partial, lambda tx: tx.insert(record))

    async def get(self, owner: str, file_id: str, *, base_url: str) -> dict[str, Any]:
        """GET /files/{id}."""
        return await self._store.read(lambda tx: dto.file(_shown(_file(tx, file_id, owner)), base_url=base_url))

    async def content(self, owner: str | None, file_id: str) -> tuple[StoredFile, AsyncIterator[bytes]]:
        """The record and the bytes of a file. `owner` None: only public files."""
        record = await self._store.read(lambda tx: tx.get(StoredFile, file_id))
        if record is None or record.sha256 is None or not (record.public or record.owner == owner):
            raise Fault("not_found", f"file {file_id!r} not found, or its bytes were never sent")
        return record, self._blobs.chunks(record.sha256)

    async def page(self, owner: str, request: CursorListRequest, *, base_url: str) -> dict[str, Any]:
        """POST /files/list."""
        return await self._store.read(
            lambda tx: pages.page(
                tx, StoredFile, request, lambda each: dto.file(_shown(each), base_url=base_url), owner=owner
            )
        )

    async def delete(self, owner: str, file_id: str) -> None:
        """DELETE /files/{id}; the bytes go with the last record that names them."""

        def change(tx: Writing) -> list[str]:
            record = _file(tx, file_id, owner)
            tx.delete(record)
            return [record.sha256] if record.sha256 else []

        await self.release(change)

    async def release(self, change: Callable[[Writing], Iterable[str]]) -> None:
        """A write that deletes files; the bytes of the hashes it returns go, where no file has them any more."""
        async with self._naming:
            for sha256 in await self._write(change):
                await self._drop_unnamed(sha256)

    async def _name(self, partial: Partial, change: Callable[[Writing], StoredFile]) -> StoredFile:
        """Keeps the bytes under the record that `change` writes; without it, they go."""
        async with self._naming:
            await self._blobs.keep(partial)
            try:
                return await self._write(change)
            except Fault:
                await self._drop_unnamed(partial.sha256)
                raise

    async def _drop_unnamed(self, sha256: str) -> None:
        if not await self._store.read(lambda tx: tx.find(StoredFile, sha256=sha256, limit=1)):
            await self._blobs.drop(sha256)

    async def read_uri(self, uri: str) -> tuple[bytes, StoredFile] | None:
        """The bytes behind one of our own URIs; None for a foreign one, or one without bytes."""
        record = await self._named_by(uri)
        if record is None or record.sha256 is None:
            return None
        return await self._blobs.read(record.sha256), record

    async def whole(self, owner: str, uri: str) -> tuple[StoredFile, Path]:
        """One of our own files with all its bytes, and where they lie. Raises Fault; a foreign file does not exist."""
        record = await self._named_by(uri)
        if record is None or not (record.public or record.owner == owner):
            raise Fault("not_found", f"file {uri!r} not found")
        if record.sha256 is None:
            raise Fault(
                "invalid_request", f"the bytes of file {uri!r} were never sent; PUT them to its upload_url first"
            )
        return record, self._blobs.path(record.sha256)

    async def _named_by(self, uri: str) -> StoredFile | None:
        file_id = file_id_in(uri)
        return await self._store.read(lambda tx: tx.get(StoredFile, file_id)) if file_id else None

    async def attachments(self, owner: str, given: ChatTaskInput) -> list[dict[str, Any]]:
        """The message's files, merged from all three places by URI (protocol.md 6.1), text files with their text."""
        merged: dict[str, dict[str, Any]] = {}
        for ref in given.attachments or ():
            if not ref.uri:
                raise Fault("invalid_request", "an attachment needs its `uri`: the one of the answer to POST /files")
            merged.setdefault(ref.uri, ref.to_wire())
        for uri in given.images or ():
            merged.setdefault(uri, {"uri": uri, "filename": uri.rsplit("/", 1)[-1], "content_type": "image/*"})
        for uri in given.files or ():
            merged.setdefault(uri, {"uri": uri, "filename": uri.rsplit("/", 1)[-1], "content_type": ""})
        return [await self._described(owner, each) for each in merged.values()]

    async def _described(self, owner: str, attachment: dict[str, Any]) -> dict[str, Any]:
        uri = str(attachment["uri"])
        if not uri.startswith(OURS):
            return attachment
        record = await self._named_by(uri)
        if record is None or record.owner != owner:
            raise Fault("not_found", f"file {uri!r} not found")
        if record.sha256 is None:
            raise Fault(
                "invalid_request", f"the bytes of file {uri!r} were never sent; PUT them to its upload_url first"
            )
        described = {**attachment, "filename": record.filename, "content_type": record.content_type}
        text = await self._text(record, record.sha256)
        return described if text is None else {**described, "text": text}

    async def _text(self, record: StoredFile, sha256: str) -> str | None:
        """The text of a small text file; None for anything else, of which nothing is read."""
        if (record.size or 0) > INLINE_BYTES or record.content_type.startswith(("image/", "audio/", "video/")):
            return None
        return _as_text(await self._blobs.read(sha256))


def file_id_in(uri: str) -> str:
    """The id of the file that one of our own URIs names; "" for a foreign one.

    >>> file_id_in("inf://files/7jnx8hn08m6ysdp04bmp5xex3q/a.png"), file_id_in("https://example.com/a.png")
    ('7jnx8hn08m6ysdp04bmp5xex3q', '')
    """
    return uri.removeprefix(OURS).partition("/")[0] if uri.startswith(OURS) else ""


def _arrived(tx: Writing, announced: StoredFile, partial: Partial, content_type: str) -> StoredFile:
    """Names the bytes, once. Raises Fault where another upload, or a delete, was faster."""
    record = tx.get(StoredFile, announced.id)
    if record is None or record.upload_token != announced.upload_token:
        raise Fault("forbidden", "this upload URL was used, or its file deleted, meanwhile; announce the file again")
    arrived: StoredFile = record.but(
        sha256=partial.sha256, size=partial.size, content_type=content_type, upload_token=None
    )
    return tx.update(arrived)


async def _guess(path: Path, filename: str) -> str:
    return await anyio.to_thread.run_sync(lambda: guess_content_type(str(path), name=filename))


def _shown(record: StoredFile) -> StoredFile:
    """The record as it is told: of a file without bytes, the type may not be known yet."""
    return (
        record if record.content_type else record.but(content_type=guess_content_type(os.devnull, name=record.filename))
    )


def _file(tx: Reading, file_id: str, owner: str) -> StoredFile:
    record = tx.get(StoredFile, file_id)
    if record is None or record.owner != owner:
        raise Fault("not_found", f"file {file_id!r} not found")
    return record


def _as_text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text
