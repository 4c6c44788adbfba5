"""The turn that every fault is done to: its two tools, and what must hold when it is over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agentkit import (
    Chat,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCalled,
    ToolContext,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    string,
    tool,
)
from agentkit.client.config import ClientConfig
from agentkit.protocol.retry import RetryPolicy
from tests.faults.desk import ANSWER, OPENING, QUESTION

__all__ = ["Ledger", "Told", "check_chat", "open_files", "patient"]

RESULTS: Final = {"get_weather": '{"temp_c":18}', "book_table": "booked"}
OPEN_FILES: Final = Path("/proc/self/fd")


def patient(url: str, **settings: Any) -> ClientConfig:
    """A client's configuration that survives what is done to it here, and does so quickly."""
    retry = RetryPolicy(max_attempts=60, first_seconds=0.02, factor=1.5, max_backoff_seconds=0.25)
    given = {"retry": retry, "quiet_seconds": 5.0, "poll_seconds": 0.2, "timeout_seconds": 10.0, **settings}
    return ClientConfig(base_url=url, honours_keys=True, **given)


@dataclass
class Ledger:
    """What the two tools did, in a file that a crash does not take back: one line per call of a handler."""

    path: Path

    def tools(self, *, then: Callable[[str], None] = lambda name: None) -> list[Any]:
        """The tools: a function and a coroutine function. `then` is called with the tool's name once it is noted."""

        def get_weather(args: dict[str, Any], ctx: ToolContext) -> dict[str, Any]:
            assert args == {"city": "Paris"}
            self._note(ctx)
            then(ctx.tool_name)
            return {"temp_c": 18}

        async def book_table(args: dict[str, Any], ctx: ToolContext) -> str:
            assert args == {"time": "20:00"}
            self._note(ctx)
            then(ctx.tool_name)
            return "booked"

        return [
            tool("get_weather").describe("The weather").param("city", string("City")).handler(get_weather),
            tool("book_table").describe("Books a table").param("time", string("When")).handler(book_table),
        ]

    def calls(self) -> Counter[str]:
        """How often each invocation's handler was called."""
        return Counter(line.split()[1] for line in self._lines())

    def of(self, name: str) -> int:
        """How often the handler of this tool was called."""
        return sum(line.startswith(f"{name} ") for line in self._lines())

    def _lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def _note(self, ctx: ToolContext) -> None:
        with self.path.open("a") as file:
            file.write(f"{ctx.tool_name} {ctx.invocation_id}\n")
            file.flush()
            os.fsync(file.fileno())


@dataclass
class Told:
    """The events of one turn."""

    events: list[TurnEvent] = field(default_factory=list)

    def check(self, chat: Chat, *, ledger: Ledger, turns: int | None = None) -> None:
        """That the turn ended well, and that each thing happened, and was told, exactly once. Of a chat's last turn."""
        try:
            check_chat(chat, turns=turns)
            self._check(chat, ledger=ledger)
        except AssertionError as error:
            error.add_note("\n".join(["what the turn told:", *map(_line, self.events)]))
            raise

    def _check(self, chat: Chat, *, ledger: Ledger) -> None:
        *_, end = self.events
        assert isinstance(end, RunFinished)
        assert end.outcome == "completed", end
        assert [event.seq for event in self.events] == list(range(1, len(self.events) + 1))
        assert len(self.of(RunFinished)) == 1
        assert len(self.of(RunStarted)) == 1
        messages = [each for each in chat.chat_messages or () if each.agent_run_id == end.run_id]
        invocations = [each for message in messages for each in message.tool_invocations or ()]
        once = {each.id: 1 for each in invocations}
        assert sorted(each.function.name for each in invocations) == sorted(RESULTS)
        for kind in (ToolCalled, ToolStarted, ToolFinished):
            assert Counter(event.invocation.id for event in self.of(kind)) == once, kind
        assert {id_: count for id_, count in ledger.calls().items() if id_ in once} == once
        for message in messages:
            if message.role == "assistant":
                assert self.text_of(message.id) == _text(message)

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of this kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def text_of(self, message_id: str) -> str:
        """What the deltas of a message come to."""
        return "".join(event.text for event in self.of(TextDelta) if event.message_id == message_id)


def check_chat(chat: Chat, *, turns: int | None = None) -> None:
    """That what the server stored of these turns is whole: as many as were asked for, all answered, nothing open."""
    assert chat.status == "idle"
    messages = sorted(chat.chat_messages or (), key=lambda each: each.order)
    assert [each.order for each in messages] == list(range(len(messages)))
    questions = [each for each in messages if each.role == "user"]
    assert [_text(each) for each in questions] == [QUESTION] * (len(questions) if turns is None else turns)
    assert all(each.status == "ready" for each in messages)
    texts = [_text(each) for each in messages if each.role == "assistant" and _text(each)]
    assert texts == [OPENING, ANSWER] * len(questions)
    invocations = [each for message in messages for each in message.tool_invocations or ()]
    assert len(invocations) == 2 * len(questions)
    assert all(each.status == "completed" and each.result == RESULTS[each.function.name] for each in invocations)
    answered = [each.tool_call_id for each in messages if each.role == "tool"]
    assert answered == [each.tool_invocation_id for each in invocations]


def open_files() -> Sequence[str] | None:
    """The descriptors that this process holds; None where the system does not tell."""
    return sorted(os.listdir(OPEN_FILES)) if OPEN_FILES.exists() else None


def _line(event: TurnEvent) -> str:
    """An event as a line of a failure's report."""
    said = [str(getattr(event, name)) for name in ("was", "state", "text", "outcome", "error") if hasattr(event, name)]
    if (message := getattr(event, "message", None)) is not None:
        calls = [f"{each.id[:4]} {each.status}" for each in message.tool_invocations or ()]
        said += [message.id[:4], str(message.role), str(message.status), *calls]
    if (invocation := getattr(event, "invocation", None)) is not None:
        said += [invocation.id[:4], str(invocation.function.name), str(invocation.status)]
    return f"  {event.seq} {event.kind} {' '.join(said)}"


def _text(message: Any) -> str:
    return "".join(part.text or "" for part in message.content or () if part.type == "text")
