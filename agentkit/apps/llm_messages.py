"""From the input of an LLM app to the messages and tools of OpenAI's chat format. The input is not changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from agentkit.apps.content_type import guess_content_type
from agentkit.apps.file import File
from agentkit.apps.llm import BaseLLMInput, ContextMessage, ContextMessageRole
from agentkit.errors import FileError

__all__ = [
    "build_messages",
    "build_openai_messages",
    "build_tools",
    "file_to_base64_data_uri",
    "image_to_base64_data_uri",
]

Mode: TypeAlias = Literal["base64", "url"]


def build_openai_messages(
    input_data: BaseLLMInput,
    transform_user_message: Callable[[str], str] | None = None,
    include_reasoning: bool = False,
    file_mode: Mode = "base64",
    image_mode: Mode = "base64",
) -> list[dict[str, Any]]:
    """The system prompt, the context and the new text as chat messages.

    Neighbours of one role become one message, except answers of tools. A message of text alone has text as its
    content, one with images or files a list of parts: `base64` puts bytes in, `url` the address where there is one.
    """
    messages = [*input_data.context, _newest(input_data)]
    system = [{"role": "system", "content": input_data.system_prompt}] if input_data.system_prompt else []
    written = [
        _written(group, transform_user_message, include_reasoning=include_reasoning, modes=(image_mode, file_mode))
        for group in _groups(messages)
    ]
    return [*system, *written]


build_messages = build_openai_messages


def build_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """The tools as OpenAI wants them: wrapped, with parameters, and without properties that are null."""
    if not tools:
        return None
    return [{"type": "function", "function": _function(tool.get("function") or tool)} for tool in tools]


def file_to_base64_data_uri(file_path: str) -> str:
    """The file's bytes as a data URI. Raises FileError."""
    try:
        content = Path(file_path).read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {file_path!r}: {error.strerror}") from None
    return f"data:{guess_content_type(file_path)};base64,{base64.b64encode(content).decode()}"


image_to_base64_data_uri = file_to_base64_data_uri


def _newest(input_data: BaseLLMInput) -> ContextMessage:
    names = ("images", "files", "tool_call_id")
    return ContextMessage(
        role=input_data.role, text=input_data.text, **{name: getattr(input_data, name, None) for name in names}
    )


def _groups(messages: Sequence[ContextMessage]) -> Iterator[list[ContextMessage]]:
    group = list[ContextMessage]()
    for message in messages:
        if group and (message.role != group[-1].role or message.role is ContextMessageRole.TOOL):
            yield group
            group = []
        group.append(message)
    yield group


def _written(
    group: Sequence[ContextMessage],
    transform: Callable[[str], str] | None,
    *,
    include_reasoning: bool,
    modes: tuple[Mode, Mode],
) -> dict[str, Any]:
    role = group[0].role
    change = transform if transform and role is ContextMessageRole.USER else str
    text = "\n\n".join(change(message.text) for message in group if message.text)
    message: dict[str, Any] = {"role": role.value, "content": _content(text, group, modes)}
    if calls := [_call(call) for each in group for call in each.tool_calls or ()]:
        message["tool_calls"] = calls
    if role is ContextMessageRole.TOOL:
        message["tool_call_id"] = group[0].tool_call_id or ""
    reasoning = "\n\n".join(each.reasoning for each in group if each.reasoning)
    return {**message, "reasoning": reasoning} if reasoning and include_reasoning else message


def _content(text: str, group: Sequence[ContextMessage], modes: tuple[Mode, Mode]) -> str | list[dict[str, Any]]:
    image_mode, file_mode = modes
    images = [
        {"type": "image_url", "image_url": {"url": _address(file, image_mode)}}
        for message in group
        for file in message.images or ()
    ]
    files = [
        {"type": "file", "file": {"filename": file.filename or "file", "file_data": _address(file, file_mode)}}
        for message in group
        for file in message.files or ()
    ]
    return [{"type": "text", "text": text}, *images, *files] if images or files else text


def _address(file: File, mode: Mode) -> str:
    is_remote = file.uri is not None and file.uri.startswith(("http://", "https://"))
    if file.uri and ((mode == "url" and is_remote) or file.path is None):
        return file.uri
    return file_to_base64_data_uri(file.path or "")


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call with its arguments as JSON text."""
    function = cast("Mapping[str, Any]", call.get("function") or {})
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {**call, "function": {**function, "arguments": text}}


def _function(function: Mapping[str, Any]) -> dict[str, Any]:
    parameters = cast("Mapping[str, Any]", function.get("parameters") or {"type": "object"})
    properties = cast("Mapping[str, Any]", parameters.get("properties") or {})
    present = {name: schema for name, schema in properties.items() if schema is not None}
    return {**function, "parameters": {**parameters, "properties": present}}
