"""What all tool builders have in common (protocol.md 6.7)."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Self, TypeAlias

from agentkit.errors import ToolDefinitionError
from agentkit.tools.approval import Condition, Judge, check_seconds, policy
from agentkit.tools.inputs import Inputs
from agentkit.tools.jsonable import NotJson, jsonable

__all__ = ["ToolBuilder", "ToolSpec", "check_tool_name", "suggested_name"]

ToolSpec: TypeAlias = dict[str, Any]
"""A tool as it travels: the JSON object of protocol.md 6.7."""

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")


def check_tool_name(name: str) -> None:
    """Raises ToolDefinitionError for a name that model providers do not take."""
    if not _NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"tool {name!r}: a tool's name has 1 to 64 letters, digits, _ or -, and begins with a letter or _; "
            f"try {suggested_name(name)!r}, and .display_name({name!r}) for what people see"
        )


def suggested_name(name: str) -> str:
    """A tool name that is as near as can be to any text."""
    cleaned = re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:63].lower()
    return cleaned if _NAME.fullmatch(cleaned) else f"_{cleaned}" if cleaned else "my_tool"


@dataclass(frozen=True, kw_only=True, repr=False)
class ToolBuilder(ABC):
    """A tool in the making. Every step returns a copy, so that a common base can be shared."""

    KIND: ClassVar[str]
    """The wire's `type`, and the key of the kind's own part."""

    name: str
    shown_name: str | None = None
    description: str = ""
    approval: bool = False
    approval_timeout: float | None = None
    approval_policy: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The wire's ApprovalPolicy."""
    judged_by: Callable[..., Any] | None = None
    """The function that may allow a call without a person."""
    timeout_seconds: float | None = None
    is_idempotent: bool | None = None
    retries: int | None = None
    inputs: Inputs = field(default_factory=Inputs)

    def __post_init__(self) -> None:
        check_tool_name(self.name)

    def describe(self, description: str) -> Self:
        """What the tool does and when to use it, in words for the model."""
        return replace(self, description=description)

    def display_name(self, name: str) -> Self:
        """What people see instead of the name."""
        return replace(self, shown_name=name)

    def display(self, name: str) -> Self:
        """Older name of `display_name`."""
        return self.display_name(name)

    def param(self, name: str, schema: Any) -> Self:
        """A parameter: a helper such as `string("City")`, a JSON Schema, a pydantic model or a type."""
        return replace(self, inputs=self.inputs.with_param(name, schema, what=self._what))

    def params(self, schema: Any) -> Self:
        """All parameters at once: a pydantic model, a TypedDict, or the JSON Schema of an object."""
        return replace(self, inputs=self.inputs.with_schema(schema, what=self._what))

    def input_schema(self, schema: Any) -> Self:
        """The same as `params`."""
        return self.params(schema)

    def require_approval(
        self,
        required: bool = True,
        *,
        timeout_seconds: float | None = None,
        when: Condition | None = None,
        approvers: Sequence[str] | None = None,
        remind_seconds: float | None = None,
        escalate_seconds: float | None = None,
        escalate_to: Sequence[str] | None = None,
    ) -> Self:
        """A person has to allow each call, or each that `when` concerns.

        `when` is a JSON Schema that the arguments fit, checked by the server, or a function here: it takes the
        arguments by name, or all as one dict, and `ctx` where it wants it, and may be async. A person is asked unless
        it returns False. `approvers` are groups of which one member answers. Unanswered for `timeout_seconds` the call
        is denied; people are told again every `remind_seconds`; after `escalate_seconds` the groups of `escalate_to`
        may answer too. 0 means never.
        """
        what = f"{self._what}: .require_approval()"
        check_seconds(what, timeout_seconds=timeout_seconds)
        judged_by = when if callable(when) else None
        told = policy(
            when=None if when is None or callable(when) else when,
            approvers=approvers,
            remind_seconds=remind_seconds,
            escalate_seconds=escalate_seconds,
            escalate_to=escalate_to,
            what=what,
        )
        if not required and (told or judged_by):
            raise ToolDefinitionError(f"{what}: False asks nobody, so leave out when=, approvers= and the like")
        return replace(
            self, approval=required, approval_timeout=timeout_seconds, approval_policy=told, judged_by=judged_by
        )

    def timeout(self, seconds: float) -> Self:
        """How long one attempt at a call may take; then it fails, and the model reads that."""
        if not 0 < seconds < math.inf:
            raise ToolDefinitionError(f"{self._what}: .timeout({seconds!r}); write the seconds, more than 0")
        return replace(self, timeout_seconds=seconds)

    def idempotent(self, enabled: bool = True) -> Self:
        """Whether a second attempt at the same call does no harm, so that it may be tried again after any failure."""
        return replace(self, is_idempotent=enabled)

    def retry(self, times: int) -> Self:
        """How often a call that failed is tried again, where that does no harm; 0 for never."""
        if times < 0:
            raise ToolDefinitionError(f"{self._what}: .retry({times!r}); write how many times, or 0 for never")
        return replace(self, retries=times)

    def build(self) -> ToolSpec:
        """The tool as it travels, a fresh dict each time. Raises ToolDefinitionError where the parts do not agree."""
        is_judged = self.judge is not None
        return {
            "name": self.name,
            "display_name": self.shown_name or self.name,
            "description": self.description,
            "type": self.KIND,
            "require_approval": self.approval,
            **{name: value for name, value in self._rules(is_judged=is_judged).items() if value is not None},
            self.KIND: self.config(),
        }

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The kind's own part of the JSON."""

    @property
    def judge(self) -> Judge | None:
        """What says of a call whether a person is asked; None where every call is, or the server decides."""
        return None if self.judged_by is None else Judge.of(self.judged_by, self.inputs, what=self._what)

    def judges_inside(self) -> Mapping[str, Judge]:
        """Those of the tools of an agent that is asked, by name; they are asked where this tool was defined."""
        return {}

    def handlers_inside(self) -> Mapping[str, Any]:
        """The client tools of an agent that is asked, by name; their handlers run where this tool was defined."""
        return {}

    def taken_over(self) -> Any:
        """The toolbox of an agent that takes the chat over, None for any other tool."""
        return None

    def _rules(self, *, is_judged: bool) -> dict[str, Any]:
        """How a call is carried out, None where nothing was said: then it does not travel."""
        told: dict[str, Any] = {**deepcopy(dict(self.approval_policy)), **({"judged": True} if is_judged else {})}
        return {
            "approval_timeout": self.approval_timeout,
            "approval": told or None,
            "timeout": self.timeout_seconds,
            "idempotent": self.is_idempotent,
            "retries": self.retries,
        }

    @property
    def _what(self) -> str:
        return f"tool {self.name!r}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, params=[{', '.join(self.inputs.properties)}])"

    def _hint(self) -> dict[str, Any]:
        """The declared parameters of a kind whose schema is the platform's to know: kept where there are some."""
        return {"input_schema": self.inputs.to_schema()} if self.inputs else {}

    def _filled(self, text: str, *, what: str, example: str) -> str:
        """The text, which must be there and without white space."""
        if not text or re.search(r"\s", text):
            raise ToolDefinitionError(f"{self._what}: {what} {text!r} is empty or has blanks in it; write {example}")
        return text

    def _plain(self, values: Mapping[str, Any], *, what: str) -> dict[str, Any]:
        """A copy of the values as JSON."""
        try:
            plain: dict[str, Any] = jsonable(values)
        except NotJson as problem:
            raise ToolDefinitionError(f"{self._what}: {what} has to be JSON, and {problem} is not") from None
        return plain
