"""What a model is asked with: the chat's rows as a provider-valid conversation.

Every tool call is answered before the next message, because the rows are so; nothing is repaired here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentkit.runtime import dto, invocations
from agentkit.runtime.executors import internal
from agentkit.runtime.executors.internal import finish, meta, skills
from agentkit.runtime.ports import ModelCall, ModelMessage, ModelRequest, ModelTool
from agentkit.runtime.records import InvocationRecord, MessageRecord, RunRecord
from agentkit.runtime.results import OVERFLOW_SUFFIX
from agentkit.runtime.work import Work
from agentkit.wire import ChatMessageRole, ChatMessageStatus

__all__ = ["model_request"]

_NO_SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {}, "required": []}
SAME_NOTED = 3  # the same call with the same result in one run: the model is told from here on
_AGAIN = "\n\n(This very call was made {} times in this run, with the same result each time.)"
_SETTINGS_LEFT_OUT = ("text", "context", "system_prompt", "tools", "images", "files", "role")  # ours to fill


def model_request(work: Work, *, model: str, before_order: int) -> ModelRequest:
    """The request for the answer that will stand at `before_order`."""
    agent = work.chat.agent
    settings = dict(agent.core_app.input or {}) if agent.core_app else {}
    run = work.open_run
    return ModelRequest(
        model=model,
        system_prompt="\n\n".join(part for part in _system(work, run) if part),
        messages=list(_with_injected(_messages(work, before_order), run)),
        tools=list(_tools(work)),
        output_schema=agent.output_schema if _finishes(work) else None,
        settings={name: value for name, value in settings.items() if name not in _SETTINGS_LEFT_OUT},
    )


def _system(work: Work, run: RunRecord | None) -> Iterator[str]:
    agent = work.chat.agent
    yield agent.system_prompt or ""
    yield skills.prompt(agent)
    yield from run.system_added if run else ()


def _with_injected(messages: Iterable[tuple[int, ModelMessage]], run: RunRecord | None) -> Iterator[ModelMessage]:
    """The messages with those that hooks put in, each at the place in the chat where it was put."""
    injected = run.injected if run else []
    turns = run.turns if run else 0
    alive = [each for each in injected if each["until"] is None or turns < each["until"]]
    waiting = deque(sorted(alive, key=lambda each: each["order"]))
    for order, message in messages:
        while waiting and waiting[0]["order"] <= order:
            yield _injected(waiting.popleft())
        yield message
    yield from map(_injected, waiting)


def _injected(given: Mapping[str, Any]) -> ModelMessage:
    """An assistant's stays one; everything else reads as a user's."""
    role = ChatMessageRole.ASSISTANT if given["role"] == ChatMessageRole.ASSISTANT else ChatMessageRole.USER
    return ModelMessage(role.value, given["content"])


def _finishes(work: Work) -> bool:
    return finish.is_offered(work.chat.agent, is_sub_agent=work.chat.parent_id is not None)


def _tools(work: Work) -> Iterator[ModelTool]:
    for tool in () if meta.hides_tools(work.chat.agent) else work.chat.agent.tools or ():
        yield ModelTool(tool.name, tool.description or "", invocations.input_schema(tool) or _NO_SCHEMA)
    for own in internal.offered(work):
        yield ModelTool(own.name, own.description, own.parameters)
    if _finishes(work):
        yield ModelTool(finish.NAME, finish.DESCRIPTION, finish.parameters(work.chat.agent))


def _messages(work: Work, before_order: int) -> Iterator[tuple[int, ModelMessage]]:
    """The messages of the model's conversation, each with its place in the chat."""
    made = Counter[tuple[str, str, str | None]]()  # by run, call and result: so often so far
    for message in dto.messages(work.tx, work.chat.id):
        if not 0 <= message.order < before_order:
            continue
        match message.role:
            case ChatMessageRole.USER:
                yield message.order, _user(message)
            case ChatMessageRole.SYSTEM:  # a word of ours, such as the reminder to finish
                yield message.order, ModelMessage("user", _text(message))
            case ChatMessageRole.ASSISTANT if message.status is not ChatMessageStatus.QUEUED:
                calls = work.invocations(message.id)
                yield from ((message.order, each) for each in _assistant(message, calls, made))
            case _:  # tool messages repeat what the invocations say
                pass


def _user(message: MessageRecord) -> ModelMessage:
    parts: list[str] = [_text(message)]
    files: list[str] = []
    for each in message.attachments:
        if each.get("text") is not None:  # a text file: read when the message was taken
            parts.append(f"[{each.get('filename') or 'attachment'}]\n{each['text']}")
        elif not str(each.get("content_type", "")).startswith("image/"):
            files.append(str(each["uri"]))
    images = [str(part["image"]) for part in message.content if part.get("image")]
    return ModelMessage("user", "\n\n".join(part for part in parts if part), images=images, files=files)


def _assistant(
    message: MessageRecord, calls: list[InvocationRecord], before: Counter[tuple[str, str, str | None]]
) -> Iterator[ModelMessage]:
    text = _text(message)
    if text or calls:
        made = [ModelCall(each.call_id, *_as_called(each)) for each in calls]
        yield ModelMessage("assistant", text, calls=made)
    for each in calls:
        images = [str(file["uri"]) for file in each.files if str(file.get("content_type", "")).startswith("image/")]
        before[again := (each.run_id, each.arguments_hash, each.result)] += 1
        noted = _AGAIN.format(before[again]) if before[again] >= SAME_NOTED else ""
        yield ModelMessage("tool", _result(each) + noted, images=images, call_id=each.call_id)


def _as_called(call: InvocationRecord) -> tuple[str, Mapping[str, Any]]:
    """Name and arguments as the model gave them, or as a person edited them."""
    return meta.as_called(call.name, call.arguments) if call.via else (call.name, call.arguments)


def _result(call: InvocationRecord) -> str:
    """The result's text, with the names of the files that came with it and cannot be shown."""
    named = [
        f"[file {file.get('filename') or ''} {file.get('content_type') or ''}: {file['uri']}]".replace("  ", " ")
        for file in call.files
        if not str(file.get("content_type", "")).startswith("image/")
        and not str(file.get("filename", "")).endswith(OVERFLOW_SUFFIX)
    ]
    return "\n".join([call.result or f"({call.status.value})", *named])


def _text(message: MessageRecord) -> str:
    return "".join(str(part.get("text") or "") for part in message.content if part.get("type") == "text")
