"""What a handler may ask about the call it serves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from agentkit.errors import UsageError
from agentkit.tools.jsonable import NotJson, jsonable

__all__ = ["MCP_KEY", "Progress", "ToolContext", "idempotency_key"]

MCP_KEY: Final = "dev.agentkit/idempotency-key"
"""Where a request to an MCP server has its key, in `_meta`."""


@dataclass(frozen=True)
class Progress:
    """One step of a long call: `fraction` from 0 to 1 where known, `data` any JSON value."""

    message: str = ""
    fraction: float | None = None
    data: Any = None


def _never() -> bool:
    return False


def _nobody(progress: Progress) -> None:
    """Nobody listens."""


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """The call at hand. Ask for it with a parameter named `ctx`, or annotated with this class.

    >>> ctx = ToolContext(chat_id="c1", invocation_id="i1", tool_name="pay", idempotency_key="k")
    >>> ctx.cancelled
    False
    """

    chat_id: str
    invocation_id: str
    tool_name: str
    idempotency_key: str
    """The same on every attempt at this call, another one for other arguments: give it to whatever has side effects."""

    is_cancelled: Callable[[], bool] = field(default=_never, repr=False)
    on_progress: Callable[[Progress], None] = field(default=_nobody, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether the call was called off since; a long handler looks now and then, and returns."""
        return self.is_cancelled()

    def progress(self, message: str = "", *, fraction: float | None = None, data: Any = None) -> None:
        """Tells those who watch the turn how far the call is. Raises UsageError for what cannot be told."""
        if fraction is not None and not 0 <= fraction <= 1:
            raise UsageError(f"tool {self.tool_name!r}: progress(fraction={fraction!r}); write a number from 0 to 1")
        try:
            self.on_progress(Progress(message, fraction, jsonable(data)))
        except NotJson as problem:
            raise UsageError(f"tool {self.tool_name!r}: progress(data=...) has to be JSON; {problem} is not") from None


def idempotency_key(chat_id: str, invocation_id: str, tool_name: str, args: Mapping[str, Any]) -> str:
    """64 hex digits that name one call with exactly these arguments, in whatever order they came.

    >>> idempotency_key("c", "i", "t", {"a": 1, "b": 2}) == idempotency_key("c", "i", "t", {"b": 2.0, "a": 1})
    True
    """
    named = [chat_id, invocation_id, tool_name, _canonical(args)]
    text = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Whole floats as integers: JSON does not tell them apart, and they change on the way through other languages."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {name: _canonical(item) for name, item in cast("Mapping[str, Any]", value).items()}
        case list() | tuple():
            return [_canonical(item) for item in cast("Sequence[Any]", value)]
        case _:
            return value
