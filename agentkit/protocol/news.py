"""What decoded JSON says about a chat, read with tolerance: absent is absent, the wrong type is an error with a name.

Old servers send no runs, new ones no messages inside a chat, and any of them may send half an object; so every field
is optional here, and only what is there counts (protocol.md 6.3, 6.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final, TypeAlias, cast

from pydantic_core import from_json

from agentkit.errors import RemoteProtocolError

__all__ = [
    "Accepted",
    "Child",
    "Frame",
    "Invocation",
    "Message",
    "Object",
    "Phase",
    "Reading",
    "as_object",
    "messages_of",
    "read_frame",
]

Object: TypeAlias = Mapping[str, Any]


class Phase(Enum):
    """What a run is doing, in one word."""

    ACTIVE = auto()
    WAITS = auto()
    OVER = auto()


RUN_PHASES: Final = {  # AgentRunState, protocol.md 6.3
    "submitted": Phase.ACTIVE,
    "working": Phase.ACTIVE,
    "input_required": Phase.WAITS,
    "auth_required": Phase.WAITS,
    "completed": Phase.OVER,
    "failed": Phase.OVER,
    "canceled": Phase.OVER,
    "rejected": Phase.OVER,
}
CHAT_PHASES: Final = {  # ChatStatus, protocol.md 9.1
    "busy": Phase.ACTIVE,
    "awaiting_input": Phase.WAITS,
    "waiting": Phase.WAITS,
    "idle": Phase.OVER,
    "completed": Phase.OVER,
}
INVOCATION_OVER: Final = frozenset({"completed", "failed", "cancelled"})
WAITS_FOR_CLIENT: Final = frozenset(
    {"awaiting_input", "in_progress"}
)  # protocol.md 6.3: the newest server says the latter
WAITS_FOR_PERSON: Final = frozenset({"awaiting_approval", "awaiting_input", "waiting"})
MESSAGE_OVER: Final = frozenset({"ready", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a stream. `event` "" is a heartbeat."""

    event: str = ""
    data: Object = field(default_factory=dict[str, Any])
    cursor: int | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What somebody said about the chat's run. `phase` None: nothing we understand.

    `is_chat`: it came with the chat, so its last message and its output came before. `is_run`: a run's state, not just
    the chat's status. `is_queued`: that run is over, but the chat is busy with another.
    """

    phase: Phase | None
    run_id: str | None = None
    state: str = ""
    user_message_id: str | None = None
    is_chat: bool = True
    is_run: bool = False
    is_queued: bool = False
    interrupts: Sequence[Object] | None = None
    chat_id: str | None = None
    raw: Object = field(default_factory=dict[str, Any])

    @classmethod
    def of_run(cls, run: Object) -> Reading:
        """What an AgentRunDTO says."""
        state = _text(run, "state") or ""
        return cls(
            RUN_PHASES.get(state),
            run_id=_text(run, "id") or None,
            state=state,
            user_message_id=_text(run, "user_message_id") or None,
            is_chat=False,
            is_run=True,
            chat_id=_text(run, "chat_id") or None,
            raw=run,
        )

    @classmethod
    def of_chat(cls, chat: Object) -> Reading:
        """What a ChatDTO says: its active run where it has one, its status where not (protocol.md 7.2 rule 5)."""
        status = _text(chat, "status") or ""
        by_status = CHAT_PHASES.get(status)
        run = chat.get("active_run")
        reading = cls(None) if run is None else cls.of_run(_object(run, "active_run"))
        if reading.phase is None:
            reading = cls(by_status, state=status, raw=chat)
        return replace(
            reading,
            is_chat=True,
            is_queued=reading.phase is Phase.OVER and by_status in (Phase.ACTIVE, Phase.WAITS),
            interrupts=_interrupts(chat),
            chat_id=_text(chat, "id") or None,
        )


@dataclass(frozen=True, slots=True)
class Invocation:
    """A tool invocation, as far as the turn cares."""

    id: str
    type: str
    status: str
    name: str
    args: Object
    raw: Object
    attempt: int = 0  # which one the platform asks for; 0 where it does not count (ours does)

    @classmethod
    def of(cls, data: Any) -> Invocation:
        """What a ToolInvocationDTO says; arguments that came as text are decoded (protocol.md 6.3)."""
        invocation = _object(data, "tool_invocations[]")
        function = _object(invocation.get("function") or {}, "tool_invocations[].function")
        return cls(
            id=_needed(invocation, "id", "tool invocation"),
            type=_text(invocation, "type") or "",
            status=_text(invocation, "status") or "",
            name=_text(function, "name") or "",
            args=_arguments(function.get("arguments")),
            raw=invocation,
            attempt=_count(invocation.get("attempt")),
        )

    @property
    def is_over(self) -> bool:
        """Whether it has its result."""
        return self.status in INVOCATION_OVER

    @property
    def is_for_client(self) -> bool:
        """Whether a client is to run it now."""
        return self.type == "client" and self.status in WAITS_FOR_CLIENT

    @property
    def is_for_person(self) -> bool:
        """Whether only a person can move it on."""
        return self.status == "awaiting_approval" or (self.type != "client" and self.status in WAITS_FOR_PERSON)


@dataclass(frozen=True, slots=True)
class Message:
    """A chat message, as far as the turn cares. None where the object did not say."""

    id: str
    role: str | None
    status: str | None
    order: int | None
    run_id: str | None
    invocations: Sequence[Invocation]
    chat_id: str | None = None

    @classmethod
    def of(cls, data: Object) -> Message:
        """What a ChatMessageDTO says."""
        order = data.get("order")
        return cls(
            id=_needed(data, "id", "message"),
            role=_text(data, "role"),
            status=_text(data, "status"),
            order=order if isinstance(order, int) else None,
            run_id=_text(data, "agent_run_id") or None,
            invocations=[Invocation.of(each) for each in _list(data.get("tool_invocations"), "tool_invocations")],
            chat_id=_text(data, "chat_id") or None,
        )

    @property
    def is_over(self) -> bool:
        """Whether it will not change any more, but for its invocations."""
        return self.status in MESSAGE_OVER


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer of POST /agents/run. The newest server sends no assistant message for a queued one."""

    chat_id: str | None
    user: Message | None
    assistant: Message | None
    run_id: str | None

    @classmethod
    def of(cls, reply: Any) -> Accepted:
        """What `{"user_message", "assistant_message"}` says (protocol.md 6.1)."""
        answer = _object(reply, "the answer of POST /agents/run")
        user, assistant = (
            Message.of(_object(answer[name], name)) if answer.get(name) is not None else None
            for name in ("user_message", "assistant_message")
        )
        said = [message for message in (assistant, user) if message is not None]
        return cls(
            chat_id=next((message.chat_id for message in said if message.chat_id), None),
            user=user,
            assistant=assistant,
            run_id=next((message.run_id for message in said if message.run_id), None),
        )


@dataclass(frozen=True, slots=True)
class Child:
    """Something that happened in the chat of an agent below this one (our own event).

    `invocation_id` is this chat's own call that led there, `depth` how far down it is. `invocations`: the tool calls of
    the message, where it is one.
    """

    chat_id: str
    invocation_id: str
    depth: int
    event: str
    data: Object
    invocations: Sequence[Invocation] = ()

    @classmethod
    def of(cls, data: Object) -> Child:
        """What the data of a `child` event says."""
        event, depth = _needed(data, "event", "child event"), data.get("depth")
        inner = _object(data.get("data"), f"data of a child's {event!r}")
        return cls(
            chat_id=_needed(data, "chat_id", "child event"),
            invocation_id=_needed(data, "invocation_id", "child event"),
            depth=depth if isinstance(depth, int) else 1,
            event=event,
            data=inner,
            invocations=Message.of(inner).invocations if event == "chat_messages" else (),
        )


def read_frame(line: Any) -> Frame:
    """A decoded line: `{"event", "data"[, "id"][, "fields"]}` or `{"type": "heartbeat"}`."""
    frame = _object(line, "a line of the stream")
    event, kind = frame.get("event"), frame.get("type")
    if event is None and kind == "heartbeat":
        return Frame()
    if event is None and isinstance(kind, str):
        return Frame(kind, frame)  # a kind of line that is not known yet: passed on, not dropped
    if not isinstance(event, str) or not event:
        raise RemoteProtocolError(f"a line of the stream names no event; it has {sorted(map(str, frame))!r}")
    return Frame(event, _object(frame.get("data"), f"data of {event!r}"), _cursor(frame.get("id")), _fields(frame))


def messages_of(chat: Object, messages: Any) -> list[Object]:
    """The messages of a fetched chat, oldest first: those fetched apart (newest first on the wire), or those in it."""
    found = chat.get("chat_messages") if messages is None else messages
    return sorted((_object(each, "chat_messages[]") for each in _list(found, "chat_messages")), key=_place)


def _interrupts(chat: Object) -> list[Object] | None:
    """Those of the chat's that wait for a person (protocol.md 6.3, InterruptDTO)."""
    if chat.get("pending_interrupts") is None:
        return None
    found = [_object(each, "pending_interrupts[]") for each in _list(chat["pending_interrupts"], "pending_interrupts")]
    return [
        each for each in found if each.get("status", "pending") == "pending" and each.get("reason") != "client_tool"
    ]


def as_object(value: Any, what: str) -> Object:
    """The value, if it is a JSON object. Raises RemoteProtocolError."""
    return _object(value, what)


def _place(message: Object) -> int:
    order = message.get("order")
    return order if isinstance(order, int) else -1


def _object(value: Any, what: str) -> Object:
    if not isinstance(value, Mapping):
        raise RemoteProtocolError(f"{what} is {type(value).__name__}, not an object")
    return cast("Object", value)


def _list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise RemoteProtocolError(f"{what} is {type(value).__name__}, not a list")
    return value  # pyright: ignore[reportUnknownVariableType]  (its members are checked one by one)


def _text(data: Object, name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def _needed(data: Object, name: str, what: str) -> str:
    value = _text(data, name)
    if not value:
        raise RemoteProtocolError(f"a {what} has no {name!r}; it has {sorted(map(str, data))!r}")
    return value


def _arguments(value: Any) -> Object:
    """An argument object; what is none is handed on as `{"arguments": value}` for the handler's schema to refuse."""
    if isinstance(value, str) and value.strip():
        try:
            value = from_json(value)
        except ValueError:
            return {"arguments": value}
    if not value:
        return {}
    return cast("Object", value) if isinstance(value, Mapping) else {"arguments": value}


def _cursor(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _fields(frame: Object) -> tuple[str, ...]:
    return tuple(name for name in _list(frame.get("fields"), "fields") if isinstance(name, str))
