"""Several calls in a row, as generators: a driver sends each `Call` that is yielded and gives back its reply.

A flow knows the order, the driver knows how to wait; so the sync and the async client share it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from agentkit.errors import RemoteProtocolError
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.wire import Chat, CreateFilesRequest, FileRecord, FileRef, Interrupt, InterruptStatus, PartialFile

__all__ = ["Flow", "Upload", "as_ref", "chat_with_messages", "once", "pending_interrupts", "upload", "upload_all"]

T = TypeVar("T")

Flow: TypeAlias = Generator[Call[Any], Any, T]


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes on their way to become a file."""

    data: bytes
    filename: str | None = None
    content_type: str = "application/octet-stream"
    path: str | None = None
    public: bool | None = None


def once(call: Call[T]) -> Flow[T]:
    """The flow of a single call."""
    reply: T = yield call
    return reply


def upload(file: Upload) -> Flow[FileRecord]:
    """POST the record, PUT the bytes where the answer says, without the key (protocol.md 4.1)."""
    records = yield from once(api.CREATE_FILES.call(CreateFilesRequest(files=[_announced(file)])))
    if not records or not records[0].upload_url:
        raise RemoteProtocolError(f"POST /files answered no upload_url for {file.filename!r}; the bytes cannot be sent")
    record: FileRecord = records[0]
    yield Call(
        "PUT", "", lambda _: None, content=file.data, url=record.upload_url, headers={"Content-Type": file.content_type}
    )
    return record


def upload_all(files: Sequence[Upload]) -> Flow[list[FileRef]]:
    """Each file in turn; the references to attach to a message."""
    references: list[FileRef] = []
    for file in files:
        record = yield from upload(file)
        references.append(as_ref(record))
    return references


def pending_interrupts(chat_id: str) -> Flow[list[Interrupt]]:
    """What the chat waits for a person to answer."""
    chat: Chat = yield from once(api.GET_CHAT.call(chat_id=chat_id))
    return [interrupt for interrupt in chat.pending_interrupts or () if interrupt.status == InterruptStatus.PENDING]


def chat_with_messages(chat_id: str) -> Flow[tuple[dict[str, Any], list[Any] | None]]:
    """The chat as plain JSON, and its messages where they have to be fetched apart (protocol.md 10 row 47)."""
    chat: dict[str, Any] = yield from once(api.GET_CHAT.call(chat_id=chat_id).raw)
    if chat.get("chat_messages") is not None:
        return chat, None
    page: dict[str, Any] = yield from once(api.CHAT_MESSAGES.call(chat_id=chat_id).raw)
    return chat, page.get("items") or []


def as_ref(record: FileRecord) -> FileRef:
    """The reference that names a file record in a message (protocol.md 4.2)."""
    return FileRef(
        id=record.id, uri=record.uri, filename=record.filename, content_type=record.content_type, size=record.size
    )


def _announced(file: Upload) -> PartialFile:
    return PartialFile(
        uri="",
        filename=file.filename,
        content_type=file.content_type,
        path=file.path,
        size=len(file.data),
        public=file.public,
    )
