r"""NDJSON, both directions: bytes to JSON objects as they arrive, and objects to lines.

    >>> reader = LineReader()
    >>> reader.feed(b'{"event":"chats","da')
    []
    >>> reader.feed(b'ta":{"id":"c1"}}\n{oops}\n')[0]
    {'event': 'chats', 'data': {'id': 'c1'}}

Nothing is dropped in silence: what cannot be read comes out as a `BadLine`, in its place between the good lines, and
reading goes on behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeGuard

from pydantic_core import from_json, to_json, to_jsonable_python

from agentkit.errors import StreamError

__all__ = [
    "MAX_LINE_BYTES",
    "BadLine",
    "Item",
    "LineReader",
    "decode_json",
    "encode_json",
    "encode_line",
    "excerpt",
    "is_array",
    "is_object",
]

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
BOM: Final = b"\xef\xbb\xbf"
EXCERPT_BYTES: Final = 200
HEAD_BYTES: Final = len(BOM) + EXCERPT_BYTES
JSON_BLANK: Final = b" \t\r"

BadReason: TypeAlias = Literal["encoding", "json", "not_object", "too_long", "cut"]

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_STREAM_REASONS: Final[Mapping[BadReason, str]] = {
    "encoding": "bad_line",
    "json": "bad_line",
    "not_object": "bad_line",
    "too_long": "too_long",
    "cut": "cut",
}


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line (or server-sent event) that could not be read.

    `reason`: encoding (not UTF-8), json, not_object, too_long (above the reader's cap), cut (the stream ended inside
    it). `size` is its length in bytes without the line end, `head` its first 200 bytes as text.
    """

    reason: BadReason
    message: str
    size: int
    head: str

    def to_error(self) -> StreamError:
        """The exception for a caller that cannot go on without this line."""
        return StreamError(
            f"{self.message} ({self.size} bytes, starting with {self.head!r})", reason=_STREAM_REASONS[self.reason]
        )


Item: TypeAlias = dict[str, Any] | BadLine


class LineReader:
    """Splits a byte stream at ``\\n``, and only there, into JSON objects.

    Not at U+2028, U+2029, U+0085, VT or FF: they are legal inside JSON strings (protocol.md 1.7 rule 2). CRLF, blank
    lines and one byte order mark at the start are accepted. Cost is linear in the bytes fed however they are cut, and
    a line above `max_bytes` is thrown away as it arrives, so memory stays below the cap.
    """

    def __init__(self, *, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()  # the beginning of the unfinished line; of one that is too long, only its head
        self._size = 0
        self._at_start = True

    def feed(self, data: bytes) -> list[Item]:
        """The items whose line end is in `data`. Never raises, whatever the bytes."""
        *pieces, rest = data.split(b"\n")
        items = [item for piece in pieces if (item := self._finish(piece)) is not None]
        self._hold(rest)
        return items

    def end(self) -> list[Item]:
        """What the end of the stream leaves: nothing, a whole object that only lacks its line end, or a cut line.

        The reader is as new afterwards.
        """
        item = self._finish(b"")
        self._at_start = True
        if isinstance(item, BadLine) and item.reason != "too_long":
            return [BadLine("cut", "the stream ended inside a line", item.size, item.head)]
        return [] if item is None else [item]

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._max_bytes:
            self._held += piece
        else:
            self._held += piece[:HEAD_BYTES]
            del self._held[HEAD_BYTES:]

    def _finish(self, piece: bytes) -> Item | None:
        """The item of the line that `piece` completes; None for a blank one."""
        size = self._size + len(piece)
        line = piece
        if self._size:
            self._hold(piece)
            line = bytes(self._held)
            self._held, self._size = bytearray(), 0
        if self._at_start:
            line, self._at_start = line.removeprefix(BOM), False
        if size > self._max_bytes:
            return BadLine("too_long", f"a line is longer than {self._max_bytes} bytes", size, excerpt(line))
        if not line.strip(JSON_BLANK):
            return None
        return _read_object(line, size)


def _read_object(line: bytes, size: int) -> Item:
    found = decode_json(line)
    if is_object(found):
        return found
    if isinstance(found, BadLine):
        return BadLine(found.reason, found.message, size, excerpt(line))
    kind = type(found).__name__
    return BadLine("not_object", f"a line holds a JSON {kind} where an object belongs", size, excerpt(line))


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether a decoded JSON value is an array."""
    return isinstance(value, list)


def decode_json(text: bytes) -> Any:
    r"""The JSON value of `text`, or a `BadLine` that says why there is none. NaN and Infinity are no JSON.

    A lone surrogate escape (`"\ud83d"`, half an emoji from a sender that cuts UTF-16) becomes U+FFFD: the rest of the
    object matters more than half a character.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        if _SURROGATE_ESCAPE.search(text) and (healed := _decode_with_surrogates(text)) is not None:
            return healed
        return _why_bad(text, error)


def _decode_with_surrogates(text: bytes) -> Any:
    try:
        return _heal(json.loads(text.decode(), parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _heal(value: Any) -> Any:
    if is_object(value):
        return {_heal(name): _heal(entry) for name, entry in value.items()}
    if is_array(value):
        return [_heal(entry) for entry in value]
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value


def _why_bad(text: bytes, error: ValueError) -> BadLine:
    try:
        text.decode()
    except UnicodeDecodeError as why:
        return BadLine("encoding", f"not UTF-8 at byte {why.start}", len(text), excerpt(text))
    return BadLine("json", f"not JSON: {error}", len(text), excerpt(text))


def excerpt(text: bytes | bytearray) -> str:
    """The first 200 bytes as text, for a message."""
    return text[:EXCERPT_BYTES].decode(errors="replace")


def encode_json(value: Any) -> bytes:
    r"""The value as JSON in pure ASCII, other characters as `\uXXXX`; NaN and infinities become null.

    ASCII because one official SDK's line splitter tears lines apart at U+2028, U+2029 and U+0085 (protocol.md 1.7
    rule 2). Raises ValueError for what JSON cannot carry.
    """
    try:
        text = to_json(value, inf_nan_mode="null")
        if text.isascii():
            return text
    except ValueError:  # a lone surrogate, or no JSON at all: that raises again here
        pass
    plain = to_jsonable_python(value, inf_nan_mode="null")
    return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode("ascii")


def encode_line(obj: Mapping[str, Any]) -> bytes:
    """The object as one NDJSON line with its line end, in pure ASCII (see `encode_json`)."""
    return encode_json(obj) + b"\n"
