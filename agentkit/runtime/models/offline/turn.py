"""What has happened in the turn so far: the user's text, the calls, and what came of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentkit.runtime.models._json import is_object
from agentkit.runtime.ports import ModelMessage, ModelRequest

__all__ = ["Called", "Turn"]

_FAILURE: Final = re.compile(
    r"(?i)^\W*(?:error|failed|failure|rejected|denied|declined|exception|cancell?ed|timed? "
    r"?out|expired|unknown outcome|not allowed|the (?:user|call|tool|person)\b.*\b(?:rejected|"
    r"denied|failed))"
)


@dataclass(frozen=True, slots=True)
class Called:
    """A call of this turn and its result: `data` is the JSON of it, or the text where it is none; None while open."""

    name: str
    arguments: dict[str, Any]
    text: str | None
    data: Any

    @property
    def failed(self) -> bool:
        """Whether the result tells of a failure or a refusal."""
        if is_object(told := self.data):
            is_error = bool(told.get("error")) or told.get("ok") is False or told.get("success") is False
            return is_error or str(told.get("status", "")).lower() in (
                "rejected",
                "denied",
                "failed",
                "error",
                "cancelled",
            )
        return bool(self.text and _FAILURE.match(self.text))

    @property
    def succeeded(self) -> bool:
        """Whether there is a result, and no failure."""
        return self.text is not None and not self.failed


@dataclass(frozen=True)
class Turn:
    """The last user message and everything after it."""

    text: str
    calls: Sequence[Called] = ()
    images: int = 0

    @classmethod
    def of(cls, request: ModelRequest) -> Turn:
        """The turn that a request is about: from the last user message on."""
        start = max((at for at, message in enumerate(request.messages) if message.role == "user"), default=0)
        messages = list(request.messages[start:])
        asked = messages[0] if messages and messages[0].role == "user" else ModelMessage("user")
        return cls(asked.text, list(_called(messages)), len(asked.images))

    def named(self, name: str) -> Called | None:
        """The turn's call of this tool, if any."""
        return next((each for each in self.calls if each.name == name), None)


def _called(messages: Sequence[ModelMessage]) -> Iterator[Called]:
    results = {message.call_id: message.text for message in messages if message.role == "tool"}
    for message in messages:
        for call in message.calls:
            text = results.get(call.id)
            yield Called(call.name, dict(call.arguments), text, _decoded(text))


def _decoded(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
