r"""Server-sent events, both directions, by the rules of the WHATWG event stream format.

    >>> reader = EventReader()
    >>> [event] = reader.feed(b'id: 7\nevent: chats\ndata: {"id":"c1"}\n\n')
    >>> event
    ServerEvent(event='chats', data='{"id":"c1"}', id='7', retry_ms=None)
    >>> read_event(event)
    {'event': 'chats', 'data': {'id': 'c1'}, 'id': 7}

`read_event` gives the items that `lines.LineReader` gives for the NDJSON form of the same stream, and
`EventItemReader` is a `LineReader` for this format, so that one consumer reads both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from agentkit.errors import StreamError, UsageError
from agentkit.protocol.lines import (
    BOM,
    EXCERPT_BYTES,
    MAX_LINE_BYTES,
    BadLine,
    Item,
    LineReader,
    decode_json,
    encode_json,
    excerpt,
    is_array,
    is_object,
)

__all__ = [
    "Comment",
    "EventItemReader",
    "EventReader",
    "ItemReader",
    "ServerEvent",
    "encode_comment",
    "encode_event",
    "encode_item",
    "read_event",
    "reader_for",
]

HEARTBEAT: Final[Mapping[str, Any]] = {"type": "heartbeat"}  # protocol.md 2.6
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One dispatched event. `id` and `retry_ms` are those of this event's own lines, None where it has none.

    `event` is "message" where the stream does not say.
    """

    event: str
    data: str
    id: str | None = None
    retry_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Comment:
    """A line that starts with a colon: a heartbeat (protocol.md 2.6). Its text is not kept."""


EventItem: TypeAlias = ServerEvent | Comment | BadLine


class EventReader:
    """Splits a byte stream into server-sent events, whatever the cuts and line ends (LF, CR, CRLF).

    Two deviations from WHATWG, both because nothing may vanish in silence: an event that is not UTF-8, or longer than
    `max_bytes`, comes out as a `BadLine`, and so does one that the end of the stream cuts off.
    """

    def __init__(self, *, max_bytes: int = MAX_LINE_BYTES) -> None:
        self.last_event_id = ""  # for `Last-Event-ID`; it and the next outlive the stream
        self.retry_ms: int | None = None
        self._max_bytes = max_bytes
        self._begin_stream()
        self._begin_event()

    def _begin_stream(self) -> None:
        self._start: bytes | None = b""  # until it is known whether a byte order mark is there
        self._after_cr = False
        self._line = bytearray()  # the beginning of the unfinished line, as far as there is room for it
        self._line_size = 0

    def _begin_event(self) -> None:
        self._data = bytearray()  # each line of it with a line feed behind
        self._event = b""
        self._id: str | None = None
        self._retry: int | None = None
        self._size = 0  # of the event's lines so far, comments and line ends not counted
        self._head: str | None = None  # set once the event is too long

    def feed(self, data: bytes) -> list[EventItem]:
        """The events, comments and bad events that `data` completes. Never raises, whatever the bytes."""
        data = self._without_bom(data)
        if self._after_cr and data:
            data, self._after_cr = data.removeprefix(b"\n"), False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *pieces, rest = data.split(b"\n")
        items = [item for piece in pieces if (item := self._finish(piece)) is not None]
        self._hold(rest)
        return items

    def end(self) -> list[EventItem]:
        """What the end of the stream leaves: nothing, or the event it cut off. The reader is as new afterwards."""
        held, self._start = self._start or b"", None
        self._hold(held)
        if self._line and not self._line.startswith(b":"):
            self._count(bytes(self._line), self._line_size)
        head = excerpt(self._data or self._line)
        bad = self._too_long() or BadLine("cut", "the stream ended inside an event", self._size, head)
        self._begin_stream()
        self._begin_event()
        return [bad] if bad.size else []

    def _without_bom(self, data: bytes) -> bytes:
        if self._start is None:
            return data
        data = self._start + data
        if len(data) < len(BOM) and BOM.startswith(data):
            self._start = data
            return b""
        self._start = None
        return data.removeprefix(BOM)

    def _room(self) -> int:
        """How much of a line is kept: what the event may still grow, and always enough for an `id:`."""
        return max(self._max_bytes - self._size, EXCERPT_BYTES)

    def _hold(self, piece: bytes) -> None:
        self._line_size += len(piece)
        self._line += piece[: self._room() - len(self._line)]

    def _finish(self, piece: bytes) -> EventItem | None:
        """What the line that `piece` completes brings about."""
        line, size = piece[: self._room()], len(piece)
        if self._line_size:
            self._hold(piece)
            line, size = bytes(self._line), self._line_size
            self._line, self._line_size = bytearray(), 0
        if not size:
            return self._dispatch()
        if line.startswith(b":"):
            return Comment()
        self._count(line, size)
        if size == len(line):
            self._take(line)
        return None

    def _count(self, line: bytes, size: int) -> None:
        self._size += size
        if self._size > self._max_bytes and self._head is None:
            self._head = excerpt(self._data or line)
            self._data = bytearray()

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                if self._head is None:
                    self._data += value + b"\n"
            case b"event":
                self._event = value
            case b"id" if b"\0" not in value:
                self._id = value.decode(errors="replace")
            case b"retry" if value.isdigit() and len(value) < 19:  # WHATWG: ASCII digits only, else ignored
                self._retry = self.retry_ms = int(value)
            case _:
                pass

    def _dispatch(self) -> EventItem | None:
        """The event that a blank line ends, if it has data."""
        if self._id is not None:
            self.last_event_id = self._id  # also without data, and for a bad event: asking again would not mend it
        item = self._too_long() or self._event_with(bytes(self._data[:-1])) if self._size else None
        self._begin_event()
        return item

    def _too_long(self) -> BadLine | None:
        if self._head is None:
            return None
        return BadLine("too_long", f"an event is longer than {self._max_bytes} bytes", self._size, self._head)

    def _event_with(self, data: bytes) -> EventItem | None:
        if not self._data:
            return None
        try:
            return ServerEvent(self._event.decode() or "message", data.decode(), self._id, self._retry)
        except UnicodeDecodeError as why:
            return BadLine("encoding", f"an event is not UTF-8 at byte {why.start}", self._size, excerpt(data))


def read_event(item: EventItem) -> Item:
    """The NDJSON form of an event: `{"event", "data"[, "fields"][, "id"]}`; of a comment: a heartbeat.

    `id` is an int where it is written as one. Data that are no JSON make a `BadLine`.
    """
    match item:
        case BadLine():
            return item
        case Comment():
            return dict(HEARTBEAT)
        case ServerEvent(event, text, id):
            data = decode_json(text.encode(errors="surrogatepass"))
            if isinstance(data, BadLine):
                return BadLine(data.reason, f"event {event!r}: {data.message}", data.size, data.head)
            return {"event": event, **_partial(data), **({} if id is None else {"id": _cursor(id)})}


def _partial(data: Any) -> dict[str, Any]:
    """`{"data", "fields"}` of a partial update, `{"data"}` of any other (protocol.md 6.4)."""
    is_partial = is_object(data) and data.keys() == {"data", "fields"}
    return {**data} if is_partial and is_object(data["data"]) and is_array(data["fields"]) else {"data": data}


def _cursor(text: str) -> int | str:
    return int(text) if _DIGITS.fullmatch(text) and str(int(text)) == text else text


class ItemReader(Protocol):
    """What reads a stream of either format: `LineReader` or `EventItemReader`."""

    def feed(self, data: bytes) -> list[Item]:
        """The items that `data` completes."""
        ...

    def end(self) -> list[Item]:
        """What the end of the stream leaves."""
        ...


class EventItemReader:
    """An `EventReader` with the items of a `LineReader`."""

    def __init__(self, *, max_bytes: int = MAX_LINE_BYTES) -> None:
        self.events = EventReader(max_bytes=max_bytes)

    def feed(self, data: bytes) -> list[Item]:
        """The items that `data` completes. Never raises, whatever the bytes."""
        return [read_event(item) for item in self.events.feed(data)]

    def end(self) -> list[Item]:
        """What the end of the stream leaves."""
        return [read_event(item) for item in self.events.end()]


_READERS: Final[Mapping[str, Callable[[int], ItemReader]]] = {
    "application/x-ndjson": lambda cap: LineReader(max_bytes=cap),
    "application/ndjson": lambda cap: LineReader(max_bytes=cap),
    "application/jsonl": lambda cap: LineReader(max_bytes=cap),
    "text/event-stream": lambda cap: EventItemReader(max_bytes=cap),
}


def reader_for(content_type: str, *, max_bytes: int = MAX_LINE_BYTES) -> ItemReader:
    """The reader for a response's Content-Type. Raises StreamError where it is no stream format we know."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _READERS:
        known = ", ".join(_READERS)
        raise StreamError(f"the stream came as {content_type!r}; expected one of {known}", reason="content_type")
    return _READERS[media_type](max_bytes)


def encode_event(event: str, data_json: str, id: str | int | None = None) -> bytes:
    """One event as it travels, blank line included. Raises UsageError where name or id cannot be written."""
    lines = [] if id is None else [f"id: {_field('id', str(id))}"]
    lines.append(f"event: {_field('event', event)}")
    lines += (f"data: {line}" for line in _LINE_ENDS.split(data_json))
    return ("\n".join(lines) + "\n\n").encode()


def _field(name: str, value: str) -> str:
    if re.search(r"[\r\n\0]", value):
        raise UsageError(f"server-sent event: {name} {value!r} holds a line end or NUL; it must be one line of text")
    return value


def encode_comment(text: str = "") -> bytes:
    """A comment, which every reader skips: the heartbeat of this format."""
    return "".join(f":{line and ' '}{line}\n" for line in _LINE_ENDS.split(text)).encode() + b"\n"


def encode_item(item: Mapping[str, Any]) -> bytes:
    """The NDJSON item as a server-sent event; for named events the inverse of `read_event`.

    A heartbeat becomes a comment, `{"event", "data"}` the event of that name, anything else (a task, bare or partial)
    `event: update` (protocol.md 2.6).
    """
    match item:
        case {"type": "heartbeat"}:
            return encode_comment()
        case {"event": str() as event, "data": data}:
            body: Any = {"data": data, "fields": item["fields"]} if "fields" in item else data
            return encode_event(event, encode_json(body).decode(), item.get("id"))
        case _:
            return encode_event("update", encode_json(item).decode())
