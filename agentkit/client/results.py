"""What a turn came to: its events folded into a result, or into the exception that says why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from agentkit.client.definition import Definition
from agentkit.errors import (
    APIError,
    ApprovalNeededError,
    OutputError,
    RunCanceledError,
    RunFailedError,
    RunLostError,
    ToolArgumentsError,
    TransportError,
    UsageError,
)
from agentkit.protocol.events import (
    ApprovalRequested,
    ApprovalResolved,
    ChatChanged,
    MessageChanged,
    RunFinished,
    TurnEvent,
)
from agentkit.wire import Chat, ChatMessage, Interrupt

__all__ = ["Fold", "TurnResult", "WhenParked"]

T = TypeVar("T")

WhenParked: TypeAlias = Literal["wait", "return", "raise"]


@dataclass(frozen=True, slots=True)
class TurnResult(Generic[T]):
    """What a turn came to. `output` is the finish tool's result, parsed where an output type was given."""

    chat_id: str | None
    run_id: str | None
    outcome: str
    output: T | None
    message: ChatMessage | None  # the last assistant message
    pending: Sequence[Interrupt] = ()  # what waits for a person
    detail: str = ""

    @property
    def text(self) -> str:
        """The last assistant message's text."""
        return self.message.text if self.message else ""


@dataclass
class Fold(Generic[T]):
    """Folds a turn's events into its result: `run() == fold(stream())`."""

    definition: Definition[T]
    chat: Chat | None = None
    message: ChatMessage | None = None
    pending: dict[str, Interrupt] = field(default_factory=dict[str, Interrupt])
    finished: RunFinished | None = None

    def take(self, event: TurnEvent) -> None:
        """Takes the next event."""
        match event:
            case ChatChanged():
                self.chat = event.chat
            case MessageChanged() if event.message.role == "assistant":
                if self.message is None or event.message.order >= self.message.order:
                    self.message = event.message
            case ApprovalRequested():
                self.pending[event.interrupt.id] = event.interrupt
            case ApprovalResolved():
                self.pending.pop(event.interrupt.id, None)
            case RunFinished():
                self.finished = event
            case _:
                pass

    @property
    def outcome(self) -> str:
        """The turn machine's word for how it ended; "" while it goes on."""
        return self.finished.outcome if self.finished else ""

    def result(self, *, when_parked: WhenParked, raises: bool = True) -> TurnResult[T]:
        """The result. Raises RunError and its kin for a turn that did not end well, unless told not to."""
        end = self.finished
        if end is None:
            raise UsageError("the turn is not over; iterate it to its end first")
        value = self.chat.output if self.chat and end.outcome == "completed" else None
        result = TurnResult(
            end.chat_id,
            end.run_id,
            end.outcome,
            None if value is None else self._parsed(value, end),
            self.message,
            list(self.pending.values()),
            end.detail,
        )
        if raises and (error := _error_of(end, result, when_parked=when_parked)) is not None:
            raise error
        return result

    def output(self, *, when_parked: WhenParked) -> T | None:
        """The output. Raises OutputError where a type was asked for and the agent handed nothing in."""
        result = self.result(when_parked=when_parked)
        if result.output is None and self.definition.output is not None and result.outcome == "completed":
            raise OutputError(
                f"the agent finished without a result; its last words: {result.text[:200]!r}",
                outcome="completed",
                chat_id=result.chat_id,
                run_id=result.run_id,
            )
        return result.output

    def _parsed(self, value: Any, end: RunFinished) -> T:
        try:
            return self.definition.parse(value)
        except ToolArgumentsError as error:
            problem = OutputError(str(error), outcome="completed", chat_id=end.chat_id, run_id=end.run_id)
            problem.attempts = [{"output": value, "errors": error.errors}]
            raise problem from None


def _error_of(end: RunFinished, result: TurnResult[Any], *, when_parked: WhenParked) -> Exception | None:
    """What to raise for an outcome; None for one that the caller can use."""
    told: dict[str, Any] = {"outcome": end.outcome, "chat_id": end.chat_id, "run_id": end.run_id}
    match end.outcome:
        case "refused" if isinstance(end.error, APIError | TransportError):
            return end.error
        case "refused" | "lost" if isinstance(end.error, UsageError):
            return end.error  # the client was closed, or the message cannot travel: nothing the platform said
        case "refused":
            return RunFailedError(f"the message was not taken: {end.detail}", **told, maybe_sent=end.maybe_sent)
        case "failed" | "rejected":
            return RunFailedError(end.detail or f"the run {end.outcome}", **told)
        case "canceled":
            return RunCanceledError(end.detail or "the run was stopped", **told)
        case "lost":
            why = f"lost sight of the run: {end.detail}; client.agents.resume({end.chat_id!r}) looks again"
            return RunLostError(why, **told, maybe_sent=end.maybe_sent)
        case "parked" if when_parked == "raise":
            names = ", ".join(_asked(each) for each in result.pending) or "a person's answer"
            how = "agent.approve(id) or agent.reject(id), a widget with agent.respond(id, action)"
            why = f"the run waits for {names}; answer with {how}"
            error = ApprovalNeededError(why, **told)
            error.pending = result.pending
            return error
        case _:
            return None


def _asked(interrupt: Interrupt) -> str:
    return f"{interrupt.tool_name or interrupt.reason} ({interrupt.resource_id})"
