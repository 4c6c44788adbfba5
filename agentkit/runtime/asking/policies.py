"""How people are asked about calls: the tool's policy over its agent's, checked where the agent is given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydantic_core import PydanticSerializationError, from_json, to_json

from agentkit.errors import SchemaError
from agentkit.runtime.faults import Fault
from agentkit.runtime.moments import later
from agentkit.runtime.patterns import could_fit, is_understood
from agentkit.tools.schema import check_schema, subschemas
from agentkit.wire import AgentConfig, AgentTool, ApprovalPolicy, ToolType

__all__ = ["LONGEST_SECONDS", "check", "concerns", "due_times", "policy_of"]

LONGEST_SECONDS: Final = 10 * 366 * 86_400.0  # ten years; far beyond, the moment has no date
SHORTEST_PAUSE: Final = 1.0  # seconds between two reminders: one at every moment would leave no time for anything else
LONGEST_GROUP: Final = 200  # characters
_NEVER_ASKS: Final = "never"
_INSIDE: Final = re.compile(r"#(/(\$defs|definitions)/.+)?")


def policy_of(agent: AgentConfig, tool: AgentTool | None) -> ApprovalPolicy:
    """How people are asked about calls of this tool: what it says itself, and else what its agent says."""
    own = _said(tool.approval) if tool else {}
    if tool is not None and tool.approval_timeout is not None:
        own["timeout"] = tool.approval_timeout
    return ApprovalPolicy.parse({**_said(agent.approval), **own})


def concerns(policy: ApprovalPolicy, arguments: Mapping[str, Any]) -> bool:
    """Whether a call with these arguments is one that a person is asked about; where that cannot be told, it is."""
    return policy.when is None or could_fit(policy.when, arguments)


def due_times(policy: ApprovalPolicy, *, now: str) -> dict[str, Any]:
    """What a question opened now has of the policy, by the names of the record's fields."""
    return {
        "approvers": list(policy.approvers) if policy.approvers is not None else None,
        "expires_at": later(now, policy.timeout) if policy.timeout else None,
        "remind_seconds": max(policy.remind, SHORTEST_PAUSE) if policy.remind else None,
        "remind_at": later(now, policy.remind) if policy.remind else None,
        "escalate_at": later(now, policy.escalate) if policy.escalate else None,
        "escalate_to": list(policy.escalate_to) if policy.escalate_to is not None else None,
    }


def check(config: AgentConfig) -> None:
    """Refuses policies that nobody could follow, of the agent and of its tools. Raises Fault `validation_error`."""
    if config.approval is not None:
        _check_policy(config.approval, what="approval")
    for tool in config.tools or ():
        _check_tool(config, tool)


# -- parts ---------------------------------------------------------------------------------------------------------


def _said(policy: ApprovalPolicy | None) -> dict[str, Any]:
    return {name: value for name, value in policy.to_wire().items() if value is not None} if policy else {}


def _check_tool(config: AgentConfig, tool: AgentTool) -> None:
    what = f"tool {tool.name!r}"
    if not 0 <= (tool.approval_timeout or 0) <= LONGEST_SECONDS:
        raise Fault(
            "validation_error",
            f"{what}: approval_timeout is a number of seconds, 0 (for ever) to {LONGEST_SECONDS:.0f}, "
            f"not {tool.approval_timeout!r}",
        )
    if _said(tool.approval) and not tool.require_approval and not _is_asked_by_its_server(tool):
        raise Fault(
            "validation_error",
            f"{what}: it has an `approval` policy, and `require_approval: false` asks nobody; set it to true, "
            "or leave `approval` out",
        )
    _check_policy(policy_of(config, tool), what=f"{what}: approval")


def _is_asked_by_its_server(tool: AgentTool) -> bool:
    """Whether it is decided later, by what an MCP server says of its tools."""
    return tool.type == ToolType.MCP and tool.mcp is not None and tool.mcp.approval != _NEVER_ASKS


def _check_policy(policy: ApprovalPolicy, *, what: str) -> None:
    for name in policy.model_extra or {}:  # passed over, a mistyped `approvers` would let everybody answer
        known = ", ".join(ApprovalPolicy.model_fields)
        raise Fault("validation_error", f"{what} has no {name[:100]!r}; there are {known}")
    for name in ("timeout", "remind", "escalate"):
        seconds = policy.get(name)
        if seconds is not None and not 0 <= seconds <= LONGEST_SECONDS:
            raise Fault(
                "validation_error",
                f"{what}.{name} is a number of seconds, 0 (never) to {LONGEST_SECONDS:.0f}, not {seconds!r}",
            )
    _check_groups(policy.approvers, what=f"{what}.approvers")
    _check_groups(policy.escalate_to, what=f"{what}.escalate_to")
    if policy.escalate and not policy.escalate_to:
        raise Fault("validation_error", f"{what}.escalate needs escalate_to: the groups that may answer from then on")
    if policy.when is not None:
        _check_when(policy.when, what=f"{what}.when")


def _check_groups(groups: Sequence[str] | None, *, what: str) -> None:
    if groups is None:
        return
    if not groups:
        raise Fault("validation_error", f"{what} is empty, so that nobody may answer; name a group, or leave it out")
    for group in groups:
        if group != group.strip() or not 0 < len(group) <= LONGEST_GROUP:
            raise Fault("validation_error", f"{what}: {group[:100]!r} is no group; write a name, such as 'finance'")


def _check_when(when: Mapping[str, Any], *, what: str) -> None:
    try:
        _checked(to_json(when), what)
    except (SchemaError, PydanticSerializationError) as error:
        raise Fault("validation_error", str(error)) from None


@lru_cache(maxsize=512)
def _checked(when: bytes, what: str) -> None:
    """A condition must be understood to the last word: a part that were ignored could allow what a person should see.

    Checked once: an agent's travel with every message and seldom change. A failure is not remembered.
    """
    schema = from_json(when)
    check_schema(schema, what=what)
    for part in subschemas(schema):
        pattern = part.get("pattern")
        if pattern is not None and not is_understood(pattern):
            raise SchemaError(f"{what}: the pattern {pattern!r} has look-around or back-references; write it without")
        if not _INSIDE.fullmatch(str(part.get("$ref", "#"))):
            raise SchemaError(f"{what}: {part['$ref']!r}: move what it refers to to $defs")
        if unknown := [word for word in ("patternProperties", "$dynamicRef", "$schema", "$id") if word in part]:
            raise SchemaError(f"{what}: {unknown[0]} is not understood in a condition; write it without")
