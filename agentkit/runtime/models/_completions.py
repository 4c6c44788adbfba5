"""The chat-completions dialect: a ModelRequest as its body, and its chunks as deltas. No I/O."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import to_json

from agentkit.errors import ModelError, ModelRefusedError
from agentkit.runtime.models import _deltas
from agentkit.runtime.models._json import is_list, is_object
from agentkit.runtime.ports import ModelCall, ModelMessage, ModelRequest, ModelTool
from agentkit.wire import LLMDelta

__all__ = ["Chunks", "Quirks", "error_message", "request_body"]

_LOG: Final = logging.getLogger("agentkit.models")

# Settings that the dialect knows under the same name; `max_tokens` goes by the name of the quirks.
_SETTINGS: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "metadata",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "seed",
        "service_tier",
        "stop",
        "temperature",
        "tool_choice",
        "top_p",
        "user",
        "verbosity",
    }
)
_SAMPLING: Final = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"})
_UNSET: Final = ("", 0, None)  # protocol.md 6.1: the zero members of the shared input type carry no meaning


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where servers of the dialect differ."""

    max_tokens: str = "max_tokens"
    usage_option: bool = True  # takes `stream_options.include_usage`
    file_parts: bool = False  # takes `file` parts; elsewhere a file is named in the text
    no_sampling: tuple[str, ...] = ()  # models, by prefix, that answer 400 to a temperature


# -- the request ---------------------------------------------------------------------------------------------------


def request_body(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """The body of `POST /chat/completions`."""
    body: dict[str, Any] = {"model": request.model, "messages": list(_messages(request, quirks)), "stream": True}
    if quirks.usage_option:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    elif request.output_schema is not None:
        schema = {"name": "output", "schema": dict(request.output_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    body.update(_settings(request, quirks))
    return body


def _settings(request: ModelRequest, quirks: Quirks) -> Iterator[tuple[str, Any]]:
    is_fixed = request.model.startswith(quirks.no_sampling) if quirks.no_sampling else False
    for name, value in request.settings.items():
        if name == "max_tokens" and value not in _UNSET:
            yield quirks.max_tokens, value
        elif name == "extra_body" and isinstance(value, Mapping):
            yield from value.items()
        elif name not in _SETTINGS or (is_fixed and name in _SAMPLING):
            _LOG.debug("model %s: setting %s is not sent, the model does not take it", request.model, name)
        elif value is not None and value != "":
            yield name, value


def _tool(tool: ModelTool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _messages(request: ModelRequest, quirks: Quirks) -> Iterator[dict[str, Any]]:
    if request.system_prompt:
        yield {"role": "system", "content": request.system_prompt}
    shown: list[str] = []  # images of tool results: the dialect takes them from a user only, behind all the results
    for message in request.messages:
        if message.role != "tool" and shown:
            yield _images(shown)
            shown = []
        match message.role:
            case "assistant":
                yield _assistant(message)
            case "tool":
                yield {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
                shown += message.images
            case _:
                yield {"role": message.role, "content": _content(message, quirks)}
    if shown:
        yield _images(shown)


def _images(uris: Sequence[str]) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
    return {"role": "user", "content": [{"type": "text", "text": "The images of the tool results:"}, *parts]}


def _assistant(message: ModelMessage) -> dict[str, Any]:
    if not message.calls:
        return {"role": "assistant", "content": message.text}
    return {"role": "assistant", "content": message.text or None, "tool_calls": [_call(call) for call in message.calls]}


def _call(call: ModelCall) -> dict[str, Any]:
    arguments = to_json(dict(call.arguments)).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _content(message: ModelMessage, quirks: Quirks) -> str | list[dict[str, Any]]:
    """The text alone where there is nothing else: the oldest servers know no parts."""
    if not message.images and not message.files:
        return message.text
    parts = [{"type": "text", "text": message.text}] if message.text else []
    images = [{"type": "image_url", "image_url": {"url": uri}} for uri in message.images]
    return [*parts, *images, *(_file(uri, quirks) for uri in message.files)]


def _file(uri: str, quirks: Quirks) -> dict[str, Any]:
    if quirks.file_parts and uri.startswith("data:"):
        kind = uri.removeprefix("data:").partition(";")[0].rpartition("/")[2]
        return {"type": "file", "file": {"filename": f"file.{kind or 'bin'}", "file_data": uri}}
    return {"type": "text", "text": "[a file that cannot be shown]" if uri.startswith("data:") else f"[file: {uri}]"}


# -- the answer ----------------------------------------------------------------------------------------------------


@dataclass
class Chunks:
    """The chunks of one answer, made into deltas; what only counts at the end is kept until then."""

    stop_reason: str | None = None
    _usage: dict[str, Any] = field(default_factory=dict[str, Any])
    _refusal: list[str] = field(default_factory=list[str])
    _calls: list[str | None] = field(default_factory=list[str | None])  # the ids of the calls begun, by index

    def take(self, chunk: Any) -> Iterator[LLMDelta]:
        """The deltas of a chunk, or of a whole answer. Raises ModelError where it tells of one."""
        if not is_object(chunk):
            raise ModelError(f"the model's server sent a {type(chunk).__name__} where a chunk belongs")
        if chunk.get("error"):
            raise ModelError(f"the model's server broke off: {error_message(chunk)}")
        if is_object(usage := chunk.get("usage")):
            self._usage.update(_usage(usage))
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        for choice in choices[:1]:
            self.stop_reason = choice.get("finish_reason") or self.stop_reason
            yield from self._said(choice.get("delta") or choice.get("message") or {})

    def end(self) -> LLMDelta:
        """The last delta. Raises ModelRefusedError where the model declined."""
        if self._refusal:
            raise ModelRefusedError(f"the model declined to answer: {''.join(self._refusal)}")
        if self.stop_reason == "content_filter":
            raise ModelRefusedError("the answer was withheld by the provider's content filter")
        return _deltas.ended({"stop_reason": self.stop_reason or "stop", **self._usage})

    def _said(self, delta: Mapping[str, Any]) -> Iterator[LLMDelta]:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            yield _deltas.thought(reasoning)
        if text := _text(delta.get("content")):
            yield _deltas.said(text)
        if delta.get("refusal"):
            self._refusal.append(str(delta["refusal"]))
        calls: Sequence[Mapping[str, Any]] = delta.get("tool_calls") or ()
        if calls:
            yield LLMDelta.parse({"tool_calls": [self._called(call, position) for position, call in enumerate(calls)]})

    def _called(self, call: Mapping[str, Any], position: int) -> dict[str, Any]:
        function: Mapping[str, Any] = call.get("function") or {}
        index = self._index(call, position)
        piece: dict[str, Any] = {"index": index, "function": {}}
        if call.get("id"):
            piece["id"], self._calls[index] = call["id"], call["id"]
        if function.get("name"):
            piece["type"], piece["function"]["name"] = "function", function["name"]
        arguments = function.get("arguments")
        if arguments is not None:  # an object in place of its JSON is seen too (protocol.md 5.3)
            text = arguments if isinstance(arguments, str) else to_json(arguments).decode()
            piece["function"]["arguments"] = text
        return piece

    def _index(self, call: Mapping[str, Any], position: int) -> int:
        """The call's index; of servers that send none, a new id begins a new call."""
        index = call.get("index")
        if not isinstance(index, int):
            id = call.get("id")
            is_new = id is not None and id not in self._calls
            index = len(self._calls) if is_new else self._calls.index(id) if id else max(len(self._calls) - 1, position)
        self._calls += [None] * (index + 1 - len(self._calls))
        return index


def _text(content: Any) -> str:
    """The text of a content, which some servers send as parts."""
    if is_list(content):
        return "".join(str(part.get("text", "")) for part in content if is_object(part))
    return content if isinstance(content, str) else ""


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    details = usage.get("completion_tokens_details")
    counts = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    counts["reasoning_tokens"] = details.get("reasoning_tokens") if is_object(details) else None
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def error_message(body: Any) -> str:
    """What an error body says, whatever its form."""
    match body:
        case {"error": {"message": str() as message}} | {"error": str() as message}:
            return message
        case {"message": str() as message} | {"detail": str() as message}:
            return message
        case str():
            return " ".join(re.sub(r"<[^>]*>", " ", body).split())[:300]
        case _:
            return to_json(body, fallback=repr).decode()[:300]
