"""Several calls in a row, as generators: a driver sends each `Call` that is yielded and gives back its reply.

A flow knows the order, the driver knows how to wait; so the sync and the async client share it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from agentkit.errors import APIError, RemoteProtocolError
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.protocol.lines import is_array, is_object
from agentkit.protocol.news import INVOCATION_OVER, messages_of
from agentkit.wire import Chat, CreateFilesRequest, FileRecord, FileRef, Interrupt, InterruptStatus, PartialFile

__all__ = [
    "Flow",
    "Outgoing",
    "PutFile",
    "Source",
    "as_ref",
    "chat_with_children",
    "chat_with_messages",
    "once",
    "pending_interrupts",
    "upload",
    "upload_all",
]

T = TypeVar("T")

Flow: TypeAlias = Generator[Call[Any], Any, T]


ANNOUNCEMENTS: Final = 3  # of one file: an upload URL is good for one PUT, and that one's answer may be lost
USED_UP: Final = (403, 404, 409, 410)
MOST_DEEP: Final = 8  # agents below agents that are looked at


class Source(Protocol):
    """Bytes that can be read from their beginning again and again; `blocks` says that reading them may take a while."""

    @property
    def size(self) -> int:
        """How many they are."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether they come from a disk."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """All of them, in pieces."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file on its way to the platform. `path` and `public` are the platform's business."""

    source: Source
    filename: str | None = None
    content_type: str = "application/octet-stream"
    path: str | None = None
    public: bool | None = None


@dataclass(frozen=True)
class PutFile(Call[None]):
    """The PUT of a file's bytes; `on_progress` gets how many of how many were taken, from 0 again after a cut."""

    source: Source | None = None
    on_progress: Callable[[int, int], Any] | None = None


def once(call: Call[T]) -> Flow[T]:
    """The flow of a single call."""
    reply: T = yield call
    return reply


def upload(file: Outgoing, *, on_progress: Callable[[int, int], Any] | None = None) -> Flow[FileRecord]:
    """POST the record, PUT the bytes where the answer says, without the key (protocol.md 4.1).

    A PUT that broke is sent again by the transport. Where its URL is used up by then, the file is announced anew.
    """
    for left in reversed(range(ANNOUNCEMENTS)):
        record = yield from _announce(file)
        try:
            yield PutFile(
                "PUT",
                "",
                lambda _: None,
                url=record.upload_url,
                headers={"Content-Type": file.content_type},
                source=file.source,
                on_progress=on_progress,
            )
        except APIError as error:
            if not left or error.status_code not in USED_UP:
                raise
        else:
            return record
    raise AssertionError("the last announcement returns or raises")


def _announce(file: Outgoing) -> Flow[FileRecord]:
    records = yield from once(api.CREATE_FILES.call(CreateFilesRequest(files=[_announced(file)])))
    if not records or not records[0].upload_url:
        raise RemoteProtocolError(f"POST /files answered no upload_url for {file.filename!r}; the bytes cannot be sent")
    return records[0]


def upload_all(files: Sequence[Outgoing]) -> Flow[list[FileRef]]:
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


def chat_with_children(chat_id: str) -> Flow[tuple[dict[str, Any], list[Any] | None, list[dict[str, Any]]]]:
    """The same, and what is in the chats of agents that it asks just now, as the data of `child` events."""
    chat, messages = yield from chat_with_messages(chat_id)
    children = yield from _children(chat["chat_messages"] if messages is None else messages, [])
    return chat, messages, children


def _children(messages: Any, calls: list[str]) -> Flow[list[dict[str, Any]]]:
    """`calls`: the calls that led to the chat of these messages, the topmost first."""
    found: list[dict[str, Any]] = []
    for call, chat_id in _open_agents(messages) if len(calls) < MOST_DEEP else ():
        try:
            chat, apart = yield from chat_with_messages(chat_id)
            below = messages_of(chat, apart)
        except (APIError, RemoteProtocolError):
            continue  # not every platform names a chat there, or shows it
        path = [*calls, call]
        head = {"chat_id": chat_id, "invocation_id": path[0], "depth": len(path)}
        found += [{**head, "event": "chat_messages", "data": each} for each in below]
        found.append({**head, "event": "chats", "data": chat | {"chat_messages": None}})
        found += yield from _children(below, path)
    return found


def _open_agents(messages: Any) -> Iterator[tuple[str, str]]:
    """The ids of the calls that wait for another agent, and of that one's chat (protocol.md 6.3)."""
    for message in filter(is_object, messages if is_array(messages) else ()):
        calls = message.get("tool_invocations")
        for call in filter(is_object, calls if is_array(calls) else ()):
            id_, chat_id = call.get("id"), call.get("execution_id")
            is_open = call.get("type") == "agent" and call.get("status") not in INVOCATION_OVER
            if is_open and isinstance(id_, str) and isinstance(chat_id, str) and chat_id:
                yield id_, chat_id


def as_ref(record: FileRecord) -> FileRef:
    """The reference that names a file record in a message (protocol.md 4.2)."""
    return FileRef(
        id=record.id, uri=record.uri, filename=record.filename, content_type=record.content_type, size=record.size
    )


def _announced(file: Outgoing) -> PartialFile:
    return PartialFile(
        uri="",
        filename=file.filename,
        content_type=file.content_type,
        path=file.path,
        size=file.source.size,
        public=file.public,
    )
