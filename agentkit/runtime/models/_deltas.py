"""Whole answers as deltas, for the models that know theirs before they speak (protocol.md 6.10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentkit.runtime.ports import ModelRequest
from agentkit.wire import LLMDelta

__all__ = ["called", "ended", "pieces", "said", "thought", "usage", "words"]


def said(text: str) -> LLMDelta:
    """A piece of the answer's text."""
    return LLMDelta.parse({"response": text})


def thought(text: str) -> LLMDelta:
    """A piece of the reasoning."""
    return LLMDelta.parse({"reasoning": text})


def called(index: int, *, id: str, name: str, arguments: Iterable[str]) -> Iterator[LLMDelta]:
    """A tool call: first who is called, then the arguments' JSON piece by piece."""
    head = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
    yield LLMDelta.parse({"tool_calls": [head]})
    for piece in arguments:
        yield LLMDelta.parse({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


def ended(usage: Mapping[str, Any]) -> LLMDelta:
    """The last delta."""
    return LLMDelta.parse({"usage": dict(usage)})


def usage(*, stop_reason: str, prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """The usage of an answer, in the words of the LLM app contract (protocol.md 5.3)."""
    return {
        "stop_reason": stop_reason,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def words(request: ModelRequest) -> int:
    """How many words the request holds: what the models without a tokenizer count as prompt tokens."""
    return sum(len(text.split()) for text in (request.system_prompt, *(message.text for message in request.messages)))


def pieces(text: str, size: int | None) -> list[str]:
    """The text cut into pieces of `size` characters; None leaves it whole."""
    step = size or max(len(text), 1)
    return [text[start : start + step] for start in range(0, len(text), step)]
