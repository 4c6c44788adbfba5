"""What a server's tool gave back, as the model and the chat get it."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Sequence
from typing import Any, Final

import mcp_types
from pydantic_core import to_json

from agentkit.runtime.executors import Execution, Produced, ToolDesk, ToolFailure, ToolFile

__all__ = ["produced"]

MOST_FILES: Final = 50
NO_WORDS: Final = "the tool reports an error, and says nothing about it"


async def produced(result: mcp_types.CallToolResult, call: Execution, desk: ToolDesk) -> Produced:
    """Text as text, `structuredContent` as data, images, audio and blobs as files. Raises ToolFailure for `isError`."""
    data: Any = result.structured_content
    texts, files = await _content(result.content, call, desk)
    text = "\n".join(texts)
    if not text and data is not None:
        text = to_json(data).decode()
    if result.is_error:
        raise ToolFailure(text or NO_WORDS, data=data)
    return Produced(text, data, files)


# -- parts ---------------------------------------------------------------------------------------------------------


async def _content(
    content: Sequence[mcp_types.ContentBlock], call: Execution, desk: ToolDesk
) -> tuple[list[str], list[ToolFile]]:
    texts: list[str] = []
    files: list[ToolFile] = []
    for part in content:
        match part:
            case mcp_types.TextContent():
                texts.append(part.text)
            case mcp_types.ResourceLink():
                texts.append(f"[{part.title or part.name}]({part.uri})")
                if part.uri.startswith(("https://", "http://")):
                    files.append(ToolFile(part.uri, part.mime_type or "", part.name, part.size))
            case mcp_types.EmbeddedResource():
                match part.resource:
                    case mcp_types.TextResourceContents(text=text):
                        texts.append(text)
                    case mcp_types.BlobResourceContents(blob=blob, mime_type=kind):
                        await _keep(blob, kind or "application/octet-stream", "resource", call, desk, texts, files)
            case mcp_types.ImageContent() | mcp_types.AudioContent():
                await _keep(part.data, part.mime_type, part.type, call, desk, texts, files)
    return texts, files


async def _keep(
    encoded: str, content_type: str, what: str, call: Execution, desk: ToolDesk, texts: list[str], files: list[ToolFile]
) -> None:
    """Stores the bytes as a file; what cannot be, is a word in the text."""
    if len(files) >= MOST_FILES:
        texts.append(f"[{what} left out: more than {MOST_FILES} files]")
        return
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        texts.append(f"[{what} left out: it is not base64]")
        return
    kind = content_type.partition(";")[0].strip()
    suffix = mimetypes.guess_extension(kind) or mimetypes.guess_extension(kind.replace("/", "/x-", 1)) or ""
    name = f"{call.tool.name}-{len(files) + 1}{suffix}"
    files.append(await desk.keep(call.owner, content, filename=name, content_type=content_type))
