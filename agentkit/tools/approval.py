"""How people are asked about calls: the policy as it travels, and the function that may allow a call without them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from agentkit.errors import ToolDefinitionError
from agentkit.tools.arguments import ArgumentSchema
from agentkit.tools.context import ToolContext
from agentkit.tools.handler import Convention, Handler
from agentkit.tools.inputs import Inputs
from agentkit.tools.jsonable import NotJson, is_mapping, jsonable
from agentkit.tools.schema import check_schema
from agentkit.tools.signature import is_async, parameters

__all__ = ["Condition", "Judge", "approval_policy", "check_seconds", "policy"]

Condition: TypeAlias = Callable[..., Any] | Mapping[str, Any]
"""Which calls a person is asked about: a function of the arguments, or a JSON Schema that they fit."""


@dataclass(frozen=True, eq=False)
class Judge:
    """A function that says of a call whether a person has to be asked.

    Only a `False` says no; anything else, None and an exception too, means that a person is asked.
    """

    function: Callable[..., Any]
    inputs: Inputs
    _handler: Handler

    @classmethod
    def of(cls, function: Callable[..., Any], inputs: Inputs, *, what: str) -> Self:
        """The judge of a tool with those inputs. It takes them as a handler does, or only those that it looks at.

        Raises ToolDefinitionError where it needs what the schema does not have.
        """
        what = f"{what}: .require_approval(when=...)"
        known = parameters(function, what=what)
        takes_any = any(each.takes_any_name for each in known)
        names = [each.name for each in known]
        seen = {name: each for name, each in inputs.properties.items() if takes_any or name in names}
        return cls(function, inputs, Handler.of(function, replace(inputs, properties=seen), what=what))

    @property
    def is_async(self) -> bool:
        """Whether calling it returns an awaitable."""
        return is_async(self.function)

    def __call__(self, args: Mapping[str, Any], ctx: ToolContext) -> Any:
        """What the function says of a call with these arguments, an awaitable if it is async; what it raises too."""
        given = ArgumentSchema(self.inputs.to_schema()).filled(args)
        if self._handler.convention is Convention.KEYWORDS and self._handler.rest is None:
            given = {name: value for name, value in given.items() if name in self._handler.names}
        return self._handler(given, ctx)

    def __repr__(self) -> str:
        return f"Judge({getattr(self.function, '__qualname__', self.function)})"


def approval_policy(
    *,
    when: Mapping[str, Any] | None = None,
    approvers: Sequence[str] | None = None,
    timeout_seconds: float | None = None,
    remind_seconds: float | None = None,
    escalate_seconds: float | None = None,
    escalate_to: Sequence[str] | None = None,
) -> dict[str, Any]:
    """How people are asked about calls of every tool of an agent that needs approval and says nothing else itself.

    `when`: a JSON Schema; only calls whose arguments fit it are asked about. `approvers`: groups of which one member
    answers. Unanswered, a call is denied after `timeout_seconds`, told again every `remind_seconds`, and open to the
    groups of `escalate_to` as well after `escalate_seconds`; 0 for never.

    >>> approval_policy(approvers=["finance"], timeout_seconds=60)  # {"core_app": ..., "approval": this}
    {'approvers': ['finance'], 'timeout': 60}
    """
    check_seconds("approval_policy", timeout_seconds=timeout_seconds)
    told = policy(
        when=when,
        approvers=approvers,
        remind_seconds=remind_seconds,
        escalate_seconds=escalate_seconds,
        escalate_to=escalate_to,
        what="approval_policy",
    )
    return told if timeout_seconds is None else {**told, "timeout": timeout_seconds}


def policy(
    *,
    when: Mapping[str, Any] | None,
    approvers: Sequence[str] | None,
    remind_seconds: float | None,
    escalate_seconds: float | None,
    escalate_to: Sequence[str] | None,
    what: str,
) -> dict[str, Any]:
    """An ApprovalPolicy as it travels, with what was said alone. Raises ToolDefinitionError, SchemaError."""
    check_seconds(what, remind_seconds=remind_seconds, escalate_seconds=escalate_seconds)
    if escalate_seconds and not escalate_to:
        raise ToolDefinitionError(
            f"{what}: escalate_seconds={escalate_seconds!r} to whom? add escalate_to=['managers']"
        )
    if escalate_to and escalate_seconds is None:
        raise ToolDefinitionError(f"{what}: escalate_to={escalate_to!r} after how long? add escalate_seconds=3600")
    said = {
        "when": _schema(when, what=what) if when is not None else None,
        "approvers": _groups(approvers, what=f"{what}: approvers"),
        "remind": remind_seconds,
        "escalate": escalate_seconds,
        "escalate_to": _groups(escalate_to, what=f"{what}: escalate_to"),
    }
    return {name: value for name, value in said.items() if value is not None}


def check_seconds(what: str, **times: float | None) -> None:
    """Raises ToolDefinitionError for a time that is none."""
    for name, seconds in times.items():
        if seconds is not None and not (_is_number(seconds) and 0 <= seconds < math.inf):
            raise ToolDefinitionError(f"{what}: {name}={seconds!r}; write seconds, or 0 for never")


# -- parts ---------------------------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _schema(when: Any, *, what: str) -> dict[str, Any]:
    if not is_mapping(when):
        raise ToolDefinitionError(
            f"{what}: when={when!r}; write a JSON Schema, such as {{'properties': {{'amount': {{'minimum': 100}}}}}}"
            " (a function goes on a tool: .require_approval(when=...))"
        )
    check_schema(when, what=f"{what}: when")
    try:
        copied: dict[str, Any] = jsonable(when)
    except NotJson as problem:
        raise ToolDefinitionError(f"{what}: when has to be JSON, and {problem} is not") from None
    return copied


def _groups(groups: Sequence[str] | None, *, what: str) -> list[str] | None:
    if groups is None:
        return None
    if isinstance(groups, str):
        raise ToolDefinitionError(f"{what}={groups!r}: write a list, [{groups!r}]")
    if not groups or not all(each and each == each.strip() for each in groups):
        raise ToolDefinitionError(f"{what}={list(groups)!r}: write names of groups, such as ['finance']")
    return list(groups)
