"""What a server and its worker processes tell each other: one JSON object per line, `type` first.

The server sends `Load`, then `SetUp`, then one `Run` after the other, and `Stop` at the end; `Cancel` and `Kept` come
while a task runs. The worker answers each with what is listed under it, and nothing unasked but `Hello`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = [
    "Asked",
    "BadMessage",
    "Cancel",
    "Canceled",
    "Done",
    "Failed",
    "Hello",
    "Kept",
    "Lines",
    "Load",
    "Message",
    "Output",
    "Ping",
    "Pong",
    "Ready",
    "Report",
    "Request",
    "Run",
    "SetUp",
    "Settled",
    "Stop",
    "decode",
    "encode",
]


class BadMessage(ValueError):
    """A line that is no message."""


# -- from the server -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """Import the app of this folder: `Ready` or `Failed`. `token` marks the places in the log where a phase ends."""

    folder: str
    token: str
    is_compat: bool = False
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SetUp:
    """Set the app up with this value: `Settled` or `Failed`. `files` are as in `Run`."""

    value: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


@dataclass(frozen=True, slots=True)
class Run:
    """Call a function: `Output`s, then `Done`, `Failed` or `Canceled`.

    `files` tells where the bytes of URIs are: `{uri: {path, content_type, filename, size}}`.
    """

    task_id: str
    function: str | None
    input: Any
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the task. `ask`: the app's `on_cancel` decides whether it stops by itself (`Asked` says so)."""

    task_id: str
    ask: bool = True


@dataclass(frozen=True, slots=True)
class Kept:
    """The files of the task's last `Output` are stored: go on."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you still there? `Pong`."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Unload the app and end."""


# -- from the worker -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The process is there."""

    pid: int


@dataclass(frozen=True, slots=True)
class Pong:
    """It is."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The app is loaded; `mark` is the number of the mark in the log up to which its lines are."""

    functions: list[str]
    mark: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The app is set up."""

    mark: int


@dataclass(frozen=True, slots=True)
class Output:
    """An output. Where it has `files`, each stands in `value` as `{token: index}` and the worker waits for `Kept`.

    A file is `{path, content_type, filename, size}`. `is_last`: the function has returned it.
    """

    task_id: str
    value: Any
    files: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What the app said to `Cancel(ask=True)`: whether it stops by itself."""

    task_id: str
    is_acknowledged: bool


@dataclass(frozen=True, slots=True)
class Done:
    """The function ended well; its last `Output` is the result."""

    task_id: str
    mark: int


@dataclass(frozen=True, slots=True)
class Failed:
    """What was asked for failed. `is_broken`: the process should not be used any more."""

    task_id: str | None
    error: str
    mark: int
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class Canceled:
    """The function stopped because it was told to."""

    task_id: str
    mark: int


Request: TypeAlias = Load | SetUp | Run | Cancel | Kept | Ping | Stop
Report: TypeAlias = Hello | Pong | Ready | Settled | Output | Asked | Done | Failed | Canceled
Message: TypeAlias = Request | Report

_KINDS: Final[Mapping[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        Load, SetUp, Run, Cancel, Kept, Ping, Stop,
        Hello, Pong, Ready, Settled, Output, Asked, Done, Failed, Canceled,
    )
}  # fmt: skip


# -- lines ---------------------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    r"""The message's line.

    Raises ValueError for numbers (nan) and text (half a surrogate pair) that JSON cannot carry, TypeError for others.

    >>> encode(Kept("t1"))
    b'{"type":"Kept","task_id":"t1"}\n'
    """
    fields = {"type": type(message).__name__, **_members(message)}
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    r"""The message of a line. Raises BadMessage.

    >>> decode(b'{"type":"Cancel","task_id":"t1","ask":false}\n')
    Cancel(task_id='t1', ask=False)
    """
    try:
        fields = json.loads(line)
        message: Message = _KINDS[fields.pop("type")](**fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadMessage(f"{line[:80]!r} is no message: {type(error).__name__}: {error}") from None
    return message


def _members(message: Message) -> dict[str, Any]:
    """The fields as they are: `dataclasses.asdict` would copy a large input or output."""
    return {name: getattr(message, name) for name in message.__slots__}


class Lines:
    r"""Whole lines out of chunks of bytes, in time linear in their size.

    >>> lines = Lines()
    >>> list(lines.feed(b"a\nb")), list(lines.feed(b"c\n"))
    ([b'a\n'], [b'bc\n'])
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that the chunk completes."""
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            self._pieces.append(line)
            yield b"".join(self._pieces) + b"\n"
            self._pieces.clear()
        if rest:
            self._pieces.append(rest)
