"""Files: announced, sent, read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from agentkit.protocol import api
from agentkit.runtime import bodies, multipart
from agentkit.runtime.faults import Fault
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked
from agentkit.runtime.streams import Stream
from agentkit.wire import CreateFilesRequest, PartialFile

TRUE: Final = ("true", "1", "yes", "on")
UNSAID: Final = "text/plain"  # RFC 7578 4.4: what a part without a type of its own counts as


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
    announced, most = asked.request.headers.get("content-length", ""), asked.platform.files.max_bytes
    if announced.isdecimal() and int(announced) > most:  # before a byte of it is taken
        raise Fault("payload_too_large", f"the file is larger than the {most:,} bytes that this server takes")
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


def _form(fields: list[multipart.Field]) -> tuple[multipart.Field, PartialFile]:
    """The file of a form, and how the form's other fields describe it."""
    file = next((each for each in fields if each.name == "file"), None)
    if file is None:
        raise Fault("invalid_request", "the form has no field `file`")
    said = {each.name: each.data.decode(errors="replace") for each in fields if each is not file}
    return file, PartialFile(
        filename=said.get("filename") or file.filename,
        content_type=said.get("content_type") or (file.content_type if file.content_type != UNSAID else None),
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
