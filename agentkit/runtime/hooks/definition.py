"""What a hook has to be: its event, its type and handler, and how long it is waited for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from agentkit.errors import ReferenceSyntaxError, ToolDefinitionError
from agentkit.protocol.refs import Reference
from agentkit.runtime.faults import Fault
from agentkit.tools.http import check_url
from agentkit.wire import AgentHook, HookDecision, HookEvent, HookHandlerType

__all__ = ["COMPACTION", "FAIL_CLOSED", "OVER", "TIMEOUT_SECONDS", "agent_ref", "check", "default_of", "target"]

TIMEOUT_SECONDS: Final = 30.0
LONGEST_SECONDS: Final = 3_600.0
LONGEST_GATE_SECONDS: Final = 10 * 366 * 86_400.0  # ten years; far beyond, the moment has no date
COMPACTION: Final = (HookEvent.AGENT_PRE_COMPACT, HookEvent.AGENT_POST_COMPACT)
OVER: Final = (HookEvent.AGENT_ERROR, HookEvent.AGENT_COMPLETE, HookEvent.AGENT_IDLE)
"""Told when the run is over: their answers change nothing."""
FAIL_CLOSED: Final = (
    HookEvent.AGENT_START, HookEvent.AGENT_TURN_START, HookEvent.AGENT_TOOL_CALL, HookEvent.AGENT_TOOL_RESULT,
)  # fmt: skip
"""Denied where the hook gives no answer, unless it says otherwise; the others are allowed."""
_KNOWN: Final = tuple(each for each in HookEvent if each not in COMPACTION)
_TYPES: Final = (HookHandlerType.WEBHOOK, HookHandlerType.TASK, HookHandlerType.GATE)
_DEFAULTS: Final = (HookDecision.ALLOW, HookDecision.DENY)


def check(hooks: Iterable[AgentHook]) -> None:
    """Raises Fault for a hook that could never be asked, with what would be right."""
    for position, hook in enumerate(hooks):
        _check_event(hook, f"hooks[{position}]")
        what = f"hooks[{position}] ({hook.event})"
        _check_waiting(hook, what)
        match hook.type:
            case HookHandlerType.WEBHOOK:
                _check_webhook(hook, what)
            case HookHandlerType.TASK:
                _check_task(hook, what)
            case HookHandlerType.GATE:
                _check_gate(hook, what)
            case HookHandlerType.BUILTIN:
                raise Fault(
                    "not_configured", f"{what}: this runtime has no built-in hooks; write a webhook, task or gate"
                )
            case _:
                raise _wrong(f"{what}: type is {', '.join(_TYPES)}, not {hook.type!r}")


def default_of(hook: AgentHook) -> HookDecision:
    """What counts where the hook gives no answer."""
    if hook.default_resolution:
        return HookDecision(hook.default_resolution)
    return HookDecision.DENY if hook.event in FAIL_CLOSED else HookDecision.ALLOW


def target(hook: AgentHook) -> tuple[str, str | None]:
    """A webhook's URL, and the name of the secret that it is signed with."""
    match hook.handler:
        case str(url):
            return url, None
        case {"url": str(url), **more}:
            secret = cast("Mapping[str, Any]", more).get("secret")
            return url, str(secret) if secret else None
        case _:
            raise _wrong("a webhook's handler is its URL, or {'url': ..., 'secret': NAME}")


def agent_ref(hook: AgentHook) -> str:
    """The agent that answers."""
    match hook.handler:
        case str(ref) | {"ref": str(ref)}:
            return ref
        case _:
            raise _wrong("a task's handler is an agent, 'namespace/name' or 'namespace/name@version'")


# -- parts ---------------------------------------------------------------------------------------------------------


def _check_event(hook: AgentHook, what: str) -> None:
    if hook.event in COMPACTION:
        raise Fault("not_configured", f"{what}: this runtime compacts nothing, so {hook.event} would never be called")
    if hook.event not in _KNOWN:
        raise _wrong(f"{what}: event is one of {', '.join(_KNOWN)}, not {hook.event!r}")


def _check_waiting(hook: AgentHook, what: str) -> None:
    longest = LONGEST_GATE_SECONDS if hook.type == HookHandlerType.GATE else LONGEST_SECONDS
    if hook.timeout is not None and not 0 < hook.timeout <= longest:
        raise _wrong(f"{what}: timeout is in seconds, more than 0 and {longest:.0f} at most, not {hook.timeout!r}")
    if hook.default_resolution is not None and hook.default_resolution not in _DEFAULTS:
        raise _wrong(f"{what}: default_resolution is allow or deny, not {hook.default_resolution!r}")


def _check_webhook(hook: AgentHook, what: str) -> None:
    try:
        url, _ = target(hook)
        check_url(url, what=what)
    except Fault as fault:
        raise _wrong(f"{what}: {fault}") from None
    except ToolDefinitionError as problem:
        raise _wrong(str(problem)) from None
    if "{{" in url:
        raise _wrong(f"{what}: a hook's URL has no placeholders: {url!r}")


def _check_task(hook: AgentHook, what: str) -> None:
    try:
        Reference.parse(agent_ref(hook))
    except Fault as fault:
        raise _wrong(f"{what}: {fault}") from None
    except ReferenceSyntaxError as problem:
        raise _wrong(f"{what}: {problem}") from None


def _check_gate(hook: AgentHook, what: str) -> None:
    if hook.async_:
        raise _wrong(f"{what}: a gate is there to be waited for; leave out async")
    if hook.event in OVER:
        raise _wrong(f"{what}: the run is over by then, so a gate holds nothing up; write a webhook or a task")


def _wrong(message: str) -> Fault:
    return Fault("validation_error", message)
