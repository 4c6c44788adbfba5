"""What each row of `protocol.api` does: one short function per row, over the platform's services."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from agentkit import __version__
from agentkit.protocol import api
from agentkit.protocol.openapi import openapi
from agentkit.runtime import bodies, multipart
from agentkit.runtime.faults import Fault
from agentkit.runtime.follow import Followed, follow
from agentkit.runtime.hub import Frame
from agentkit.runtime.routes import Asked, Routes
from agentkit.runtime.streams import Stream, format_for, item
from agentkit.wire import ChatMessageStatus, CreateFilesRequest, CursorListRequest, PartialFile

__all__ = ["routes"]

routes = Routes()

TRUE: Final = ("true", "1", "yes", "on")


# -- agents --------------------------------------------------------------------------------------------------------


@routes.on(api.RUN_AGENT)
async def run_agent(asked: Asked) -> Any:
    """Answers before the model ran; with `stream` sends the run as it goes, unless it was queued."""
    chats, body = asked.platform.chats, asked.body
    before = await chats.cursor(asked.owner, body.chat_id) if body.stream and body.chat_id else 0
    reply = await chats.run(asked.owner, body, once=asked.once)
    if not body.stream or reply["user_message"]["status"] == ChatMessageStatus.QUEUED:
        return reply
    is_replay = asked.once is not None and asked.once.is_replay
    followed = Followed.of(reply, owner=asked.owner, after=None if is_replay else before)
    return _items(asked, follow(asked.platform, followed))


@routes.on(api.CREATE_AGENT)
async def create_agent(asked: Asked) -> Any:
    """Stores an agent, or a version."""
    return await asked.platform.agents.create(asked.owner, asked.body)


@routes.on(api.LIST_AGENTS)
async def list_agents(asked: Asked) -> Any:
    """A page of agents."""
    return await asked.platform.agents.page(asked.owner, asked.body)


@routes.on(api.INTERNAL_TOOLS)
async def internal_tools(asked: Asked) -> Any:
    """What the platform itself offers."""
    return await asked.platform.agents.internal_tools()


@routes.on(api.GET_AGENT)
async def get_agent(asked: Asked) -> Any:
    """One agent."""
    return await asked.platform.agents.get(asked.owner, asked["agent_id"])


@routes.on(api.GET_AGENT_BY_NAME)
async def get_agent_by_name(asked: Asked) -> Any:
    """One agent by its name."""
    return await asked.platform.agents.by_name(asked.owner, asked["namespace"], asked["name"])


@routes.on(api.UPDATE_AGENT)
async def update_agent(asked: Asked) -> Any:
    """A new version."""
    return await asked.platform.agents.create(asked.owner, asked.body, agent_id=asked["agent_id"])


@routes.on(api.DELETE_AGENT)
async def delete_agent(asked: Asked) -> None:
    """Its chats stay."""
    await asked.platform.agents.delete(asked.owner, asked["agent_id"])


@routes.on(api.LIST_AGENT_VERSIONS)
async def list_agent_versions(asked: Asked) -> Any:
    """A page of versions."""
    return await asked.platform.agents.versions(asked.owner, asked["agent_id"], asked.body)


@routes.on(api.GET_AGENT_VERSION)
async def get_agent_version(asked: Asked) -> Any:
    """One version."""
    return await asked.platform.agents.version(asked.owner, asked["agent_id"], asked["version_id"])


# -- chats ---------------------------------------------------------------------------------------------------------


@routes.on(api.LIST_CHATS)
async def list_chats(asked: Asked) -> Any:
    """A page of chats."""
    return await asked.platform.chats.page(asked.owner, asked.body)


@routes.on(api.GET_CHAT)
async def get_chat(asked: Asked) -> Any:
    """With its messages."""
    return await asked.platform.chats.get(asked.owner, asked["chat_id"])


@routes.on(api.DELETE_CHAT)
async def delete_chat(asked: Asked) -> None:
    """Stopped first."""
    await asked.platform.chats.delete(asked.owner, asked["chat_id"])


@routes.on(api.CHAT_STATUS)
async def chat_status(asked: Asked) -> Any:
    """As pollers need it."""
    return await asked.platform.chats.status(asked.owner, asked["chat_id"])


@routes.on(api.CHAT_MESSAGES)
async def chat_messages(asked: Asked) -> Any:
    """A page, newest first."""
    wanted = CursorListRequest(limit=asked.number("limit"), cursor=asked.request.query_params.get("cursor"))
    return await asked.platform.chats.messages(asked.owner, asked["chat_id"], wanted)


@routes.on(api.STREAM_CHAT)
async def stream_chat(asked: Asked) -> Stream:
    """Without end, from the cursor on: `?after=`, or what an EventSource sends when it comes back."""
    after = asked.number("after")
    last = asked.request.headers.get("last-event-id", "")
    if after is None and last.isascii() and last.isdecimal() and len(last) < 19:
        after = int(last)  # any other id is none of ours: a snapshot
    frames = await asked.platform.chats.watch(asked.owner, asked["chat_id"], after=after)
    return _items(asked, _framed(frames))


@routes.on(api.STOP_CHAT)
async def stop_chat(asked: Asked) -> None:
    """Nothing to do when idle."""
    await asked.platform.chats.stop(asked.owner, asked["chat_id"])


# -- tool invocations and interrupts -------------------------------------------------------------------------------


@routes.on(api.SUBMIT_TOOL_RESULT)
async def submit_tool_result(asked: Asked) -> Any:
    """A client's answer to its tool."""
    return await asked.platform.chats.submit_result(asked.owner, asked["invocation_id"], asked.body, once=asked.once)


@routes.on(api.INVOKE_TOOL)
async def invoke_tool(asked: Asked) -> Any:
    """Approve."""
    return await asked.platform.chats.invoke(
        asked.owner, asked["invocation_id"], asked.body, by=asked.owner, once=asked.once
    )


@routes.on(api.REJECT_TOOL)
async def reject_tool(asked: Asked) -> Any:
    """Reject."""
    return await asked.platform.chats.reject(
        asked.owner, asked["invocation_id"], asked.body, by=asked.owner, once=asked.once
    )


@routes.on(api.ALWAYS_ALLOW)
async def always_allow(asked: Asked) -> Any:
    """Approve, and do not ask again."""
    return await asked.platform.chats.always_allow(
        asked.owner, asked["chat_id"], asked["invocation_id"], asked.body, by=asked.owner
    )


@routes.on(api.RESOLVE_INTERRUPT)
async def resolve_interrupt(asked: Asked) -> Any:
    """Allow or deny, once."""
    return await asked.platform.chats.resolve(
        asked.owner, asked["interrupt_id"], asked.body, by=asked.owner, once=asked.once
    )


@routes.on(api.RUN_INTERRUPTS)
async def run_interrupts(asked: Asked) -> Any:
    """All questions of a run."""
    return await asked.platform.chats.run_interrupts(asked.owner, asked["run_id"])


# -- files ---------------------------------------------------------------------------------------------------------


@routes.on(api.CREATE_FILES)
async def create_files(asked: Asked) -> Any:
    """JSON announces files, a form brings one (protocol.md 10, #29)."""
    if not bodies.is_multipart(asked.request):
        return await asked.platform.files.create(asked.owner, asked.body, base_url=asked.base_url)
    body = await bodies.read(asked.request, max_bytes=asked.max_body_bytes)
    file, announced = _form(multipart.parse(asked.request.headers["content-type"], body))
    [record] = await asked.platform.files.create(
        asked.owner, CreateFilesRequest(files=[announced]), base_url=asked.base_url
    )
    async with aclosing(_whole(file.data)) as chunks:
        await asked.platform.files.put(record["id"], _token(record["upload_url"]), chunks)
    return await asked.platform.files.get(asked.owner, record["id"], base_url=asked.base_url)


@routes.on(api.LIST_FILES)
async def list_files(asked: Asked) -> Any:
    """A page of files."""
    return await asked.platform.files.page(asked.owner, asked.body, base_url=asked.base_url)


@routes.on(api.GET_FILE)
async def get_file(asked: Asked) -> Any:
    """The record."""
    return await asked.platform.files.get(asked.owner, asked["file_id"], base_url=asked.base_url)


@routes.on(api.DELETE_FILE)
async def delete_file(asked: Asked) -> None:
    """The record, and the bytes with the last one."""
    await asked.platform.files.delete(asked.owner, asked["file_id"])


@routes.on(api.PUT_FILE)
async def put_file(asked: Asked) -> None:
    """The token is the permission: SDKs send no key here (protocol.md 4.1)."""
    token = asked.request.query_params.get("token", "")
    async with aclosing(bodies.pieces(asked.request)) as chunks:
        await asked.platform.files.put(asked["file_id"], token, chunks)


@routes.on(api.FILE_CONTENT)
async def file_content(asked: Asked) -> Stream:
    """As a download that no browser shows or runs, whatever its type claims."""
    record, chunks = await asked.platform.files.content(asked.caller, asked["file_id"])
    first = await anext(aiter(chunks), b"")  # so that a missing file fails before the headers are out
    headers = {
        "Content-Type": _safe(record.content_type),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(record.filename or 'file', safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        **({} if record.size is None else {"Content-Length": str(record.size)}),
    }
    return Stream(_behind(first, chunks), headers=headers, streams=asked.streams)


# -- the service itself --------------------------------------------------------------------------------------------


@routes.on(api.OPENAPI)
async def openapi_json(asked: Asked) -> Any:
    """The route catalogue."""
    return openapi(api.ENDPOINTS)


@routes.on(api.HEALTH)
async def health(asked: Asked) -> Any:
    """Whether it answers."""
    return {"status": "ok", "version": __version__}


# -- parts ---------------------------------------------------------------------------------------------------------


def _items(asked: Asked, items: AsyncGenerator[dict[str, Any], None]) -> Stream:
    return Stream.of_items(items, format=format_for(asked.request.headers.get("accept", "")), streams=asked.streams)


async def _framed(frames: AsyncGenerator[Frame]) -> AsyncGenerator[dict[str, Any], None]:
    async with aclosing(frames):
        async for frame in frames:
            yield item(frame)


def _form(fields: list[multipart.Field]) -> tuple[multipart.Field, PartialFile]:
    """The file of a form, and how the form's other fields describe it."""
    file = next((each for each in fields if each.name == "file"), None)
    if file is None:
        raise Fault("invalid_request", "the form has no field `file`")
    said = {each.name: each.data.decode(errors="replace") for each in fields if each is not file}
    return file, PartialFile(
        filename=said.get("filename") or file.filename,
        content_type=said.get("content_type") or file.content_type,
        path=said.get("path"),
        size=len(file.data),
        public=said.get("public", "").lower() in TRUE,
    )


def _token(upload_url: str) -> str:
    return parse_qs(urlsplit(upload_url).query)["token"][0]


def _safe(content_type: str) -> str:
    """The type as a header value: one line of visible ASCII, or the type of plain bytes."""
    return content_type if content_type.isascii() and content_type.isprintable() else "application/octet-stream"


async def _whole(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


async def _behind(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
