"""A tool call from the model's wish to its one result: open, hand over, settle. Transaction functions.

Arguments are checked before anything else, so no person is asked about a call that cannot run and no tool sees what
its schema forbids; what is wrong goes back to the model, with paths.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_core import from_json, to_json

from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime import journal
from agentkit.runtime.asking import policies, questions, rules
from agentkit.runtime.executors import internal
from agentkit.runtime.executors.internal import finish, meta
from agentkit.runtime.faults import Fault
from agentkit.runtime.hooks import moments
from agentkit.runtime.ids import hashed, new_id
from agentkit.runtime.journal import AttemptEnd
from agentkit.runtime.patterns import misses
from agentkit.runtime.records import InvocationRecord, MessageRecord, RunRecord
from agentkit.runtime.states import INVOCATION, InvocationEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import (
    AgentTool,
    ApprovalPolicy,
    HookDecision,
    InterruptReason,
    SubmitToolResult,
    ToolInvocationStatus,
    ToolType,
)

__all__ = [
    "arguments_hash",
    "conclude",
    "create",
    "definition",
    "deny",
    "go_on",
    "input_schema",
    "is_whole",
    "known_after_all",
    "open_call",
    "settle",
    "submit",
    "takes_callback",
    "wake_key",
    "with_arguments",
]

REJECTED = "the user rejected this call"
EXPIRED = "nobody approved this call in time"
NOBODY_KNOWS = "unknown outcome: this call was begun, and nobody knows whether it had its effect. It was not made again"
_ENDS = {
    InvocationEvent.RESULT: AttemptEnd.COMMITTED,
    InvocationEvent.ERROR: AttemptEnd.FAILED,
    InvocationEvent.STOP: AttemptEnd.CANCELLED,
}
SAME_REFUSED = 10  # the same call in one run is refused from here on; the model is told before (`context`)


def definition(work: Work, name: str) -> AgentTool | None:
    """The agent's own tool of this name."""
    return next((tool for tool in work.chat.agent.tools or () if tool.name == name), None)


def input_schema(tool: AgentTool) -> Mapping[str, Any] | None:
    """The JSON Schema of a tool's arguments, wherever its kind keeps it; None where there is none."""
    config = tool.config
    return config.get("input_schema") if config is not None else None


def arguments_hash(name: str, arguments: Mapping[str, Any]) -> str:
    """SHA-256 of the call as a person is shown it: an approval is good for exactly this."""
    canonical = to_json({"name": name, "arguments": _sorted(arguments)})
    return hashlib.sha256(canonical).hexdigest()


def is_whole(invocation: InvocationRecord) -> bool:
    """Whether the row holds the arguments that its hash is of."""
    return arguments_hash(invocation.name, invocation.arguments) == invocation.arguments_hash


def create(
    work: Work, run: RunRecord, message: MessageRecord, *, position: int, call: Mapping[str, Any]
) -> InvocationRecord:
    """The row of one call of the model's; arguments that are no JSON object fail it at once."""
    function: Mapping[str, Any] = call.get("function") or {}
    name = str(function.get("name") or "")
    arguments, problem = _decode(function.get("arguments"))
    meant = meta.inner(work.chat.agent, name, arguments)
    via, (name, arguments) = (name, meant) if meant else (None, (name, arguments))
    tool = definition(work, name)
    is_internal = tool is None and (internal.find(work, name) is not None or _is_finish(work, name))
    return work.tx.insert(
        InvocationRecord(
            id=new_id(),
            chat_id=work.chat.id,
            run_id=run.id,
            message_id=message.id,
            call_id=str(call["id"]),
            position=position,
            type=ToolType.INTERNAL if is_internal else ToolType(tool.type) if tool else ToolType.CLIENT,
            name=name,
            via=via,
            arguments=arguments,
            arguments_hash=arguments_hash(name, arguments),
            status=ToolInvocationStatus.FAILED if problem else ToolInvocationStatus.PENDING,
            require_approval=bool(tool and tool.require_approval),
            result=problem,
        )
    )


def open_call(work: Work, invocation: InvocationRecord) -> InvocationRecord:
    """The first step of a pending call: refuse it, ask a person, hand it over, or run it."""
    tool, own = definition(work, invocation.name), internal.find(work, invocation.name)
    is_finish = _is_finish(work, invocation.name)
    if tool is None and own is None and not is_finish:
        return settle(work, invocation, f"there is no tool {invocation.name!r}; {_known(work)}", failed=True)
    schema = own.parameters if own else input_schema(tool) if tool else None
    if schema is not None and (problems := misses(schema, invocation.arguments)):
        return settle(work, invocation, _explain(problems), failed=True)
    if len(_same(work, invocation)) >= SAME_REFUSED:
        said = f"this very call was made {SAME_REFUSED} times already; do without"
        return settle(work, invocation, said, failed=True)
    verdict = moments.of_call(work, invocation)
    if verdict is None:
        return invocation  # a hook is asked; its answer leads here again
    if verdict.decision is not HookDecision.ALLOW:
        return settle(work, invocation, _denied_by_hook(verdict.reason), failed=True)
    if verdict.override is not None:
        if problems := _overridden(schema, verdict.override):
            return settle(work, invocation, f"a hook changed the call, and {_explain(problems)}", failed=True)
        invocation = with_arguments(work, invocation, verdict.override)
    if is_finish:
        return _move(work, invocation, InvocationEvent.EXECUTE)  # run when its siblings have settled
    if own is not None:
        return _apply(work, invocation, own)
    return _gate(work, invocation, tool) if invocation.require_approval else go_on(work, invocation)


def with_arguments(work: Work, invocation: InvocationRecord, arguments: Mapping[str, Any]) -> InvocationRecord:
    """The call with other arguments, which somebody checked."""
    given = dict(arguments)
    return work.save(invocation, arguments=given, arguments_hash=arguments_hash(invocation.name, given))


def go_on(work: Work, invocation: InvocationRecord) -> InvocationRecord:
    """Nothing stands in the way of the call any more: its client gets it, or we run it."""
    if invocation.type is ToolType.CLIENT:
        begun = journal.begin(invocation, at=work.tx.now, first=AttemptEnd.HANDED_OVER)
        return _move(work, invocation, InvocationEvent.HAND_OVER, **begun)
    work.tx.wake(wake_key(invocation.id))
    return _move(work, invocation, InvocationEvent.EXECUTE, execution_id=None)


def wake_key(invocation_id: str) -> str:
    """What wakes the one who carries out a call."""
    return f"tool:{invocation_id}"


def settle(
    work: Work, invocation: InvocationRecord, result: str, *, failed: bool = False, data: Any = None, **changes: Any
) -> InvocationRecord:
    """The call's one result. Raises Refused where it has one already."""
    event = InvocationEvent.ERROR if failed else InvocationEvent.RESULT
    return _move(work, invocation, event, result=result, data=data, **changes)


def conclude(
    work: Work, invocation: InvocationRecord, result: str, *, failed: bool = False, data: Any = None, **changes: Any
) -> InvocationRecord:
    """The result of a call that ran outside of a transaction: settled, told, and the run moves on.

    Its questions are withdrawn, and nobody carries it out any more.
    """
    was_asking = questions.withdraw(work, invocation)
    settled = settle(work, invocation, result, failed=failed, data=data, callback_token=None, **changes)
    work.tx.clear_wake(wake_key(invocation.id))
    questions.carry_on(work)
    work.tell_message(invocation.message_id)
    if was_asking:
        work.tell_chat()
    work.tx.wake(work.chat.id)
    return settled


def known_after_all(work: Work, invocation: InvocationRecord, *, failed: bool) -> dict[str, Any]:
    """The change that says how the last attempt ended, where that was believed unknown and who made it now tells."""
    how = AttemptEnd.FAILED if failed else AttemptEnd.COMMITTED
    return journal.end(invocation, how, at=work.tx.now, is_known_after_all=True)


def deny(work: Work, invocation: InvocationRecord, *, expired: bool, reason: str) -> InvocationRecord:
    """The call will not run, or not again; the model reads why."""
    if journal.is_unknown(invocation):
        said = _not_again(expired=expired, reason=reason)
    else:
        said = EXPIRED if expired else f"{REJECTED}: {reason}" if reason else REJECTED
    return _move(work, invocation, InvocationEvent.DENY, result=said)


def submit(
    work: Work,
    invocation: InvocationRecord,
    body: SubmitToolResult,
    *,
    files: Sequence[Mapping[str, Any]] = (),
    by: str | None = None,
) -> InvocationRecord:
    """A client's answer, with references to its files; `by` names who gave it, None: the chat's owner.

    The same answer again is fine; another one for a settled call is a conflict.
    """
    given = _answer(body, invocation)
    result, data = given.text, given.data
    if invocation.status in (ToolInvocationStatus.COMPLETED, ToolInvocationStatus.FAILED):
        if invocation.result == result:
            return invocation
        raise Fault("already_submitted", f"invocation {invocation.id!r} already has a result; the first one counts")
    if invocation.status is not ToolInvocationStatus.AWAITING_INPUT and not _was_believed_lost(invocation):
        raise Fault(
            "invalid_transition", f"invocation {invocation.id!r} is {invocation.status.value}, not awaiting_input"
        )
    attached = [dict(each) for each in files]
    was_asked = questions.answer(
        work, invocation, by=by or work.chat.owner, data=data or result, is_declined=given.is_declined
    )  # fmt: skip
    failed = given.is_declined or bool(body.get("failed"))
    known = known_after_all(work, invocation, failed=failed)
    settled = conclude(work, invocation, result, failed=failed, data=data, files=attached, **known)
    if was_asked:
        work.tell_chat()
    return settled


def takes_callback(invocation: InvocationRecord, token: str) -> bool:
    """Whether the token is one that lets somebody without a key answer this call, and none was used yet."""
    given = hashed(token)
    return any(hmac.compare_digest(each, given) for each in (invocation.callback_token or "").split())


# -- parts ---------------------------------------------------------------------------------------------------------


def _was_believed_lost(invocation: InvocationRecord) -> bool:
    """Whether somebody else has the call, and was believed gone: what we carry out ourselves has no other result."""
    is_elsewhere = invocation.type in (ToolType.CLIENT, ToolType.HOOK)
    is_asked_about = invocation.status is ToolInvocationStatus.AWAITING_APPROVAL and journal.is_unknown(invocation)
    return is_elsewhere and is_asked_about


def _is_finish(work: Work, name: str) -> bool:
    """Whether this is the call that ends the run; where `finish` is not offered, it is a name like any other."""
    return name == finish.NAME and finish.is_offered(work.chat.agent, is_sub_agent=work.chat.parent_id is not None)


def _move(work: Work, invocation: InvocationRecord, event: InvocationEvent, **changes: Any) -> InvocationRecord:
    """The call in the state that follows; the attempt at it that is under way ends with it."""
    ended = journal.end(invocation, _ENDS[event], at=work.tx.now) if event in _ENDS else {}
    return work.save(invocation, status=after(INVOCATION, invocation.status, event), **{**ended, **changes})


def _not_again(*, expired: bool, reason: str) -> str:
    """What the model reads of a call with an unknown outcome that nobody wants made again."""
    if expired:
        why = "; a person was asked, and did not answer in time."
    else:
        why = f", because a person said: {reason}." if reason else ", because a person did not want that."
    return f"{NOBODY_KNOWS}{why} Find out before you call it again."


def _known(work: Work) -> str:
    if meta.hides_tools(work.chat.agent):
        return "search_tools and list_tools tell what there is"
    return f"tools: {', '.join(sorted(each.name for each in work.chat.agent.tools or ())) or 'none'}"


def _apply(work: Work, invocation: InvocationRecord, tool: internal.InternalTool) -> InvocationRecord:
    if tool.apply is None:
        return go_on(work, invocation)
    effect = tool.apply(work.chat, invocation.arguments)
    if effect.chat:
        work.save_chat(**effect.chat)
    if effect.waits_for is not None:
        questions.ask(
            work,
            invocation,
            effect.waits_for,
            meta={"widget": effect.widget, **effect.asked},
            answer_schema=effect.answer_schema,
            policy=_times(work),
        )
        return _move(work, invocation, InvocationEvent.HAND_OVER, widget=effect.widget)
    running = _move(work, invocation, InvocationEvent.EXECUTE, widget=effect.widget)
    return settle(work, running, effect.result, failed=effect.failed)


def _times(work: Work) -> ApprovalPolicy:
    """When a question to whoever talks with the agent is due; there are no groups, for a client may answer it too."""
    policy = policies.policy_of(work.chat.agent, None)
    return ApprovalPolicy(timeout=policy.timeout, remind=policy.remind)


def _gate(work: Work, invocation: InvocationRecord, tool: AgentTool | None) -> InvocationRecord:
    """Asks a person, unless the policy does not concern this call, or somebody allowed calls like it before."""
    policy = policies.policy_of(work.chat.agent, tool)
    if not policies.concerns(policy, invocation.arguments):
        return go_on(work, invocation)
    if (allowed := rules.allowing(work, invocation)) is not None:
        return go_on(work, work.save(invocation, approved_by=allowed.by))
    questions.ask(work, invocation, InterruptReason.TOOL_APPROVAL, policy=policy)
    return _move(work, invocation, InvocationEvent.GATE)


def _same(work: Work, invocation: InvocationRecord) -> list[InvocationRecord]:
    """The calls of the run that were the same, before this one."""
    same = work.tx.find(InvocationRecord, run_id=invocation.run_id, arguments_hash=invocation.arguments_hash)
    return [each for each in same if each.message_id != invocation.message_id or each.position < invocation.position]


def _decode(arguments: Any) -> tuple[dict[str, Any], str | None]:
    """The arguments as an object, or an empty one and what is wrong with them."""
    if isinstance(arguments, Mapping):
        return dict(cast("Mapping[str, Any]", arguments)), None
    if arguments is None or arguments == "":
        return {}, None
    try:
        value: Any = from_json(arguments, allow_inf_nan=False)  # it is stored and sent on as JSON
    except ValueError as error:
        return {}, f"the arguments are not JSON: {error}"
    if not is_object(value):
        return {}, "the arguments must be a JSON object"
    return value, None


def _denied_by_hook(reason: str) -> str:
    return "a hook denied this call" + (f": {reason}" if reason else "")


def _overridden(schema: Mapping[str, Any] | None, arguments: Any) -> list[dict[str, str]]:
    """What is wrong with the arguments that a hook gave."""
    if not is_object(arguments):
        return [{"path": "", "message": "they are no JSON object"}]
    return misses(schema, arguments) if schema is not None else []


def _explain(problems: list[dict[str, str]]) -> str:
    lines = "; ".join(f"{each['path'] or '(arguments)'}: {each['message']}" for each in problems)
    return f"the arguments do not fit the tool's schema: {lines}"


def _answer(body: SubmitToolResult, invocation: InvocationRecord) -> internal.Answered:
    """What a client or a person answered; of a widget, what its action means."""
    result, data = _submitted(body)
    if internal.takes_values(invocation):
        return internal.answered(invocation, result if data is None else data)
    if invocation.widget is not None and data is not None:
        return internal.answered(invocation, data)
    return internal.Answered(result, data)


def _submitted(body: SubmitToolResult) -> tuple[str, Any]:
    """The result text, and the widget action where it is one, wrapped in `result` or not (protocol.md 6.5)."""
    if body.action is not None:
        action = {"action": body.action.to_wire(), "form_data": body.form_data}
        return to_json(action).decode(), action
    if body.result is None:
        raise Fault("invalid_request", "send `result` (text) or `action` with `form_data`")
    try:
        value: Any = from_json(body.result, allow_inf_nan=False) if body.result.startswith("{") else None
    except ValueError:
        value = None
    return body.result, value if is_object(value) and "action" in value else None


def _sorted(value: Any) -> Any:
    if is_object(value):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if is_array(value) else value
