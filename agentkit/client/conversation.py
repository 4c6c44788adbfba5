"""One agent's chat, from turn to turn: what both agents know. No waiting here."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from agentkit.client.config import ClientConfig
from agentkit.client.definition import Definition
from agentkit.client.handlers import Handlers
from agentkit.client.hooks import Hooks
from agentkit.client.journal import Journal
from agentkit.client.judging import Judges
from agentkit.client.requests import KEY
from agentkit.client.results import WhenParked
from agentkit.errors import UsageError
from agentkit.protocol.calls import Call, Calls
from agentkit.protocol.link import Patience
from agentkit.protocol.turn import TurnMachine
from agentkit.protocol.verdicts import Verdicts
from agentkit.wire import FileRef

__all__ = ["Conversation"]

T = TypeVar("T")


class Leavable(Protocol):
    """A turn under way, as far as a conversation needs to know."""

    def leave(self) -> None:
        """Stops listening; the run goes on."""
        ...


@dataclass
class Conversation(Generic[T]):
    """One agent's chat, from turn to turn."""

    config: ClientConfig
    definition: Definition[T]
    context: Mapping[str, str] | None = None
    tool_timeout_seconds: float | None = None
    chat_id: str | None = None
    journal: Journal = field(default_factory=Journal)
    calls: Calls = field(default_factory=Calls)
    verdicts: Verdicts = field(default_factory=Verdicts)
    cursor: int | None = None
    _active: Leavable | None = None
    _machine: TurnMachine | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.hooks = Hooks()
        self.handlers = Handlers(
            self.definition.toolbox.everywhere(),
            timeout_seconds=self.tool_timeout_seconds,
            hooks=self.hooks,
            journal=self.journal,
        )
        self.judges = Judges(self.definition.toolbox.judges)

    def reset(self) -> None:
        """Forgets the chat, and leaves a turn under way: the next message starts a new one."""
        with self._lock:
            active, self._active = self._active, None
            self.chat_id, self.calls, self.verdicts, self.cursor = None, Calls(), Verdicts(), None
            self._machine = None
        if active is not None:
            active.leave()

    def known_chat(self, chat_id: str | None = None) -> str:
        """The chat meant. Raises UsageError where there is none yet."""
        found = chat_id or self.chat_id
        if found is None:
            raise UsageError("this agent has no chat yet; send it a message first, or pass chat_id=")
        return found

    @property
    def notes_calls(self) -> bool:
        """Whether there are tools whose calls are noted in the journal."""
        return bool(self.handlers.names() or self.handlers.names_below())

    def machine(
        self, text: str | None, attachments: Sequence[FileRef], *, stream: bool, when_parked: WhenParked
    ) -> TurnMachine:
        """The machine of the next turn; `text` None: of what the chat does already.

        Raises JournalError where calls of the agent's tools cannot be noted.
        """
        if self.notes_calls:
            self.journal.open()
        for id_ in self.calls.of(Call.LEFT):
            if self.handlers.is_resumable(id_):
                self.calls.forget(id_)
        self._machine = TurnMachine(
            self.chat_id,
            None if text is None else self.body(text, attachments),
            tools=self.handlers.names(),
            tools_below=self.handlers.names_below(),
            judges=self.judges.names(),
            judges_below=self.judges.names_below(),
            calls=self.calls,
            verdicts=self.verdicts,
            streams=stream,
            when_parked="wait" if when_parked == "wait" else "return",
            patience=self.patience(),
            after=self.cursor,
        )
        return self._machine

    def observer(self, chat_id: str) -> TurnMachine:
        """The machine of somebody who only looks: it runs no tool."""
        return TurnMachine(chat_id, streams=self.config.stream, patience=self.patience())

    def patience(self) -> Patience:
        """How long the machine waits for what."""
        return Patience(
            poll_seconds=self.config.poll_seconds,
            quiet_seconds=self.config.quiet_seconds,
            grace_seconds=self.config.stop_grace_seconds,
        )

    def body(self, text: str, attachments: Sequence[FileRef]) -> dict[str, Any]:
        """The body of POST /agents/run, as the SDK writes it (protocol.md 6.1)."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]: not every caller is typed
            raise UsageError(f"a message is text, not {type(text).__name__}; attach bytes with files=[...]")
        definition, body = self.definition, {}
        if definition.config is not None:
            body = {"agent_config": definition.config, "agent_name": definition.config.get("name") or None}
        elif definition.ref is not None:
            body = {"agent": definition.ref}
        return {
            **body,
            KEY: uuid.uuid4().hex,
            "context": dict(self.context) if self.context else None,
            "input": {
                "text": text,
                "attachments": [each.to_wire() for each in attachments] or None,
                "role": "user",
                "context": [],
                "system_prompt": "",
                "context_size": 0,
            },
        }

    def begin(self, turn: Leavable) -> None:
        """Notes that a turn begins. Raises UsageError while another is under way."""
        with self._lock:
            if self._active is not None:
                raise UsageError(
                    "this agent is in a turn already; wait for it, stop it, or use one agent object per conversation"
                )
            self._active = turn

    def end(self, turn: object) -> None:
        """Notes that the turn is over, and what it learned of the chat. A turn before `reset` teaches nothing."""
        if self._active is turn:
            self._active = None
            if self._machine is not None:
                self.chat_id, self.cursor = self._machine.chat_id or self.chat_id, self._machine.cursor

    def learn(self, turn: object, machine: TurnMachine) -> None:
        """Takes over the chat's id as soon as it is known."""
        if self._active is turn and machine.chat_id is not None:
            self.chat_id = machine.chat_id
