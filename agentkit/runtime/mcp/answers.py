"""What a server asks while it works, answered: forms by people, messages by the agent's model, roots as configured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import mcp_types
from pydantic import FileUrl, TypeAdapter, ValidationError
from pydantic_core import to_json

from agentkit.runtime.executors import Gone, ToolFailure
from agentkit.runtime.mcp.calls import Talk
from agentkit.runtime.ports import ModelMessage
from agentkit.tools.jsonable import is_object

__all__ = ["elicited", "roots_of", "said", "sampled"]

logger = logging.getLogger("agentkit.mcp")

_FILE_URL: TypeAdapter[FileUrl] = TypeAdapter(FileUrl)


async def elicited(
    talk: Talk | None, params: mcp_types.ElicitRequestParams
) -> mcp_types.ElicitResult | mcp_types.ErrorData:
    """What a person says; an error where it is not known which call wants to know."""
    if talk is None:
        return _refusal("it is not clear which call asks")
    schema, url = (
        (None, params.url)
        if isinstance(params, mcp_types.ElicitRequestURLParams)
        else (dict(params.requested_schema), None)
    )
    action, content = await talk.ask(params.message, schema=schema, url=url)
    try:
        return mcp_types.ElicitResult.model_validate(
            {"action": action, **({"content": dict(content)} if content is not None and url is None else {})}
        )
    except ValidationError:
        return _refusal("the answer is not one that a form can hold")


async def sampled(
    talk: Talk | None, params: mcp_types.CreateMessageRequestParams
) -> mcp_types.CreateMessageResult | mcp_types.ErrorData:
    """What the agent's model says; an error where it cannot be asked."""
    if talk is None:
        return _refusal("it is not clear which call asks")
    if params.tools:
        return _refusal("the model is asked without tools here")
    settings: dict[str, Any] = {"max_tokens": params.max_tokens}
    if params.temperature is not None:
        settings["temperature"] = params.temperature
    if params.stop_sequences:
        settings["stop"] = params.stop_sequences
    try:
        messages = [_message(each) for each in params.messages]
        text = await talk.sample(params.system_prompt or "", messages, settings)
    except ToolFailure as failure:
        return _refusal(failure.text)
    except Gone:
        return _refusal("the call is over")
    return mcp_types.CreateMessageResult(
        role="assistant", content=mcp_types.TextContent(text=text), model="agent", stop_reason="endTurn"
    )


def roots_of(uris: Sequence[str]) -> mcp_types.ListRootsResult:
    """The folders that the server is told of."""
    roots = [
        mcp_types.Root(uri=_FILE_URL.validate_python(uri), name=uri.rstrip("/").rpartition("/")[2]) for uri in uris
    ]
    return mcp_types.ListRootsResult(roots=roots)


def said(params: mcp_types.LoggingMessageNotificationParams) -> str:
    """A line of the server's log in words."""
    data: Any = params.data
    if is_object(data) and isinstance(text := data.get("message") or data.get("msg"), str):
        return text
    return data if isinstance(data, str) else to_json(data, fallback=str).decode()


# -- parts ---------------------------------------------------------------------------------------------------------


def _refusal(message: str) -> mcp_types.ErrorData:
    return mcp_types.ErrorData(code=mcp_types.INVALID_REQUEST, message=message)


def _message(message: mcp_types.SamplingMessage) -> ModelMessage:
    """The message as our models take it. Raises ToolFailure for what they cannot see."""
    texts: list[str] = []
    images: list[str] = []
    for part in message.content_as_list:
        match part:
            case mcp_types.TextContent():
                texts.append(part.text)
            case mcp_types.ImageContent():
                images.append(f"data:{part.mime_type};base64,{part.data}")
            case _:
                raise ToolFailure(f"the model takes text and images, not {part.type}")
    return ModelMessage(message.role, "\n".join(texts), images)
