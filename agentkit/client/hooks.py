"""Hooks as Python functions: asked in this process about what the client sees of a run.

    @agent.on("agent.tool_call")
    def careful(event: HookPayload) -> HookResponse | None:
        if event.data["arguments"].get("path") == "/":
            return HookResponse(decision="deny", reason="not the root")

They are the twins of the hooks that the platform asks (`hooks` of an agent's configuration). Who asks is a generator:
it yields what a function returned, and is sent what came of it once it was awaited.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

import anyio
from pydantic import ValidationError

from agentkit.errors import RunCanceledError, UsageError
from agentkit.protocol.events import MessageChanged, RunFinished, TurnEvent
from agentkit.protocol.lines import is_object
from agentkit.tools.result import result_text
from agentkit.wire import (
    HookDecision,
    HookEvent,
    HookInjection,
    HookPayload,
    HookResponse,
    ToolInvocationStatus,
    ToolType,
    is_message_ready,
)

if TYPE_CHECKING:  # the calls know their hooks
    from agentkit.client.handlers import Started

__all__ = [
    "SEEN",
    "Asking",
    "H",
    "Hook",
    "Hooks",
    "Registering",
    "Watched",
    "after_call",
    "before_call",
    "settle",
    "settle_async",
    "starting",
]

T = TypeVar("T")
Answer: TypeAlias = HookResponse | Mapping[str, Any] | None
Hook: TypeAlias = Callable[[HookPayload], Answer | Awaitable[Answer]]
"""Asked with what happens; may be async. None allows."""
H = TypeVar("H", bound=Hook)
Asking: TypeAlias = Generator[Any, Any, T]

SEEN: Final = (
    HookEvent.AGENT_START,
    HookEvent.AGENT_TOOL_CALL,
    HookEvent.AGENT_TOOL_RESULT,
    HookEvent.AGENT_TURN_COMPLETE,
    HookEvent.AGENT_ERROR,
    HookEvent.AGENT_COMPLETE,
    HookEvent.AGENT_IDLE,
)
_REPLACED: Final = {  # the member of `data` that an override takes the place of
    HookEvent.AGENT_START: "text",
    HookEvent.AGENT_TOOL_CALL: "arguments",
    HookEvent.AGENT_TOOL_RESULT: "result",
}
_DECISIONS: Final = (HookDecision.ALLOW, HookDecision.DENY, HookDecision.STOP)
_SETTLED: Final = (ToolInvocationStatus.COMPLETED, ToolInvocationStatus.FAILED, ToolInvocationStatus.CANCELLED)
_ERRORS: Final = ("failed", "rejected", "refused", "lost")
_OVER: Final = ("completed", "failed", "rejected", "canceled")


class Registering(Protocol):
    """What `agent.on(event)` decorates a function with."""

    def __call__(self, function: H, /) -> H:
        """Has the function asked; returns it as it is."""
        ...


class Hooks:
    """The functions of one agent, by event, in the order in which they were given."""

    def __init__(self) -> None:
        self._functions: dict[HookEvent, list[Hook]] = {}

    def add(self, event: str, function: Hook) -> None:
        """Has the function asked. Raises UsageError for an event that a client does not see."""
        if event not in SEEN:
            raise UsageError(
                f"a client sees {', '.join(SEEN)}; {event!r} is for the `hooks` of the agent's configuration, "
                "which the platform asks"
            )
        self._functions.setdefault(HookEvent(event), []).append(function)

    def ask(
        self, event: HookEvent, data: Mapping[str, Any], *, chat_id: str | None, run_id: str | None, turns: int = 0
    ) -> Asking[HookResponse]:
        """What the functions say, taken together: the first that does not allow is the last that is asked."""
        told = dict(data)
        override: Any = None
        injected: list[HookInjection] = []
        for function in self._functions.get(event, ()):
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            payload = HookPayload(
                event=event, timestamp=now, chat_id=chat_id, run_id=run_id, turn_count=turns, data=dict(told)
            )
            said = _understood((yield function(payload)), event)
            if said.decision != HookDecision.ALLOW:
                return said
            if said.inject is not None:
                injected.append(said.inject)
            if said.override is not None and event in _REPLACED:
                override = told[_REPLACED[event]] = said.override
        inject = HookInjection(items=injected) if injected else None
        return HookResponse(override=override, inject=inject)


class Watched:
    """What of a turn's events hooks are asked about: each message once it is whole, and the end."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._whole: set[str] = set()

    def ask(self, event: TurnEvent) -> Asking[bool]:
        """True: a hook wants the run to stop."""
        match event:
            case MessageChanged() if _is_whole(event) and event.message.id not in self._whole:
                self._whole.add(event.message.id)
                calls = [each.to_wire() for each in event.message.tool_invocations or ()]
                data = {"message_id": event.message.id, "text": event.message.text, "tool_calls": calls}
                said = yield from self._ask(HookEvent.AGENT_TURN_COMPLETE, event, data)
                return said.decision != HookDecision.ALLOW
            case RunFinished():
                told = {"state": event.outcome, "error": event.detail or None}
                if event.outcome in _ERRORS:
                    yield from self._ask(HookEvent.AGENT_ERROR, event, told)
                if event.outcome == "completed":
                    output = event.run.output if event.run else None
                    yield from self._ask(HookEvent.AGENT_COMPLETE, event, {**told, "output": output})
                if event.outcome in _OVER:
                    yield from self._ask(HookEvent.AGENT_IDLE, event, told)
            case _:
                pass
        return False

    def _ask(self, moment: HookEvent, event: TurnEvent, data: Mapping[str, Any]) -> Asking[HookResponse]:
        return self._hooks.ask(moment, data, chat_id=event.chat_id, run_id=event.run_id, turns=len(self._whole))


def starting(hooks: Hooks, text: str, *, chat_id: str | None) -> Asking[str]:
    """The message as it is sent. Raises RunCanceledError where a hook does not let it."""
    said = yield from hooks.ask(HookEvent.AGENT_START, {"text": text}, chat_id=chat_id, run_id=None)
    if said.decision != HookDecision.ALLOW:
        why = f"not sent: {said.reason or 'a hook on agent.start does not allow it'}"
        raise RunCanceledError(why, outcome="canceled", chat_id=chat_id, run_id=None)
    text = text if said.override is None else str(said.override)
    more = _contents(said.inject)
    return "\n\n".join([text, *more]) if more else text


def before_call(hooks: Hooks, started: Started) -> Asking[str | None]:
    """Whether the handler may run; else the result in its stead. A hook that fails denies the call."""
    effect = started.effect
    data = {**_described(started), "arguments": effect.args}
    try:
        said = yield from hooks.ask(HookEvent.AGENT_TOOL_CALL, data, chat_id=started.chat_id, run_id=None)
        if said.override is not None and not is_object(said.override):
            raise UsageError("a hook on agent.tool_call overrides the arguments with an object")
    except Exception as error:
        return started.handlers.error(effect.id, f"a hook failed, so the call was not made: {_named(error)}")
    if said.decision != HookDecision.ALLOW:
        started.wants_stop |= said.decision == HookDecision.STOP
        why = f": {said.reason}" if said.reason else ""
        return started.handlers.error(effect.id, f"a hook denied this call{why}")
    if said.override is not None:
        started.effect = replace(effect, args=dict(said.override))
    return None


def after_call(hooks: Hooks, started: Started, result: str) -> Asking[str]:
    """The result as it is sent. What a hook raises is the caller's to hear."""
    id_ = started.effect.id
    failed = started.handlers.has_failed(id_)
    data = {**_described(started), "arguments": started.effect.args, "result": result}
    data["status"] = (ToolInvocationStatus.FAILED if failed else ToolInvocationStatus.COMPLETED).value
    said = yield from hooks.ask(HookEvent.AGENT_TOOL_RESULT, data, chat_id=started.chat_id, run_id=None)
    if said.decision != HookDecision.ALLOW:
        started.wants_stop |= said.decision == HookDecision.STOP
        started.handlers.forget(id_)
        return started.handlers.error(id_, "a hook withheld the result" + (f": {said.reason}" if said.reason else ""))
    if said.override is None:
        return result
    started.handlers.forget(id_)
    return result_text(said.override)


def settle(asking: Asking[T]) -> T:
    """Runs it in this thread; an async function gets an event loop of its own, on another."""
    step = partial(asking.send, None)
    while True:
        try:
            value = step()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            step = partial(asking.send, _awaited_elsewhere(value) if hasattr(value, "__await__") else value)
        except Exception as error:
            step = partial(asking.throw, error)


async def settle_async(asking: Asking[T]) -> T:
    """Runs it in this task; a function that is not async runs right here, so it should not take long."""
    step = partial(asking.send, None)
    while True:
        try:
            value = step()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            step = partial(asking.send, await value if hasattr(value, "__await__") else value)
        except Exception as error:
            step = partial(asking.throw, error)


# -- parts ---------------------------------------------------------------------------------------------------------


def _understood(value: Any, event: HookEvent) -> HookResponse:
    if value is None:
        return HookResponse()
    try:
        said = value if isinstance(value, HookResponse) else HookResponse.parse(value)
    except ValidationError:
        raise UsageError(f"a hook on {event} returns None, a HookResponse or its dict, not {value!r}") from None
    if said.decision not in _DECISIONS:
        raise UsageError(f"a hook on {event} decides {', '.join(_DECISIONS)}, not {said.decision!r}")
    return said


def _awaited_elsewhere(value: Awaitable[Any]) -> Any:
    results: list[Any] = []
    errors: list[BaseException] = []

    async def wait() -> Any:
        return await value

    def run() -> None:
        try:
            results.append(anyio.run(wait, backend="asyncio"))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="agentkit-hook")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _described(started: Started) -> dict[str, Any]:
    names = {"tool_name": started.tool.name, "tool_type": ToolType.CLIENT.value}
    return {"tool_invocation_id": started.effect.id, **names}


def _contents(inject: HookInjection | None) -> list[str]:
    if inject is None:
        return []
    return [text for text in (inject.content, *(text for each in inject.items for text in _contents(each))) if text]


def _is_whole(event: MessageChanged) -> bool:
    message = event.message
    if message.role != "assistant" or not is_message_ready(message.status):
        return False
    return all(each.status in _SETTLED for each in message.tool_invocations or ())


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
