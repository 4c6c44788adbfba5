"""Request bodies: read piece by piece up to a limit, decoded, and turned into the endpoint's model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import Request

from agentkit.protocol.lines import BadLine, decode_json, is_object
from agentkit.runtime.faults import Fault

__all__ = ["CHOSEN_HEADERS", "is_multipart", "pieces", "read", "read_json"]

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
CHOSEN_HEADERS: Final = (
    "authorization",
    "x-api-version",
    "x-client-source",
)  # no page sends these without asking first


async def read(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. Raises Fault `payload_too_large` as soon as it is known to be."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async with aclosing(pieces(request)) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
    return bytes(body)


async def pieces(request: Request) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises starlette's ClientDisconnect where it is cut."""
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            if chunk:
                yield chunk


async def read_json(request: Request, *, max_bytes: int) -> dict[str, Any]:
    """The JSON object of the body, {} of an empty one (protocol.md 1.5). Raises Fault."""
    body = await read(request, max_bytes=max_bytes)
    if not body.strip():
        return {}
    kind = media_type(request)
    if kind != JSON:  # a web page may send other types to this machine without asking (CSRF)
        raise Fault("unsupported_media_type", f"send the body as Content-Type: {JSON}, not {kind or 'nothing'!r}")
    found = decode_json(body.removeprefix(b"\xef\xbb\xbf"))
    if isinstance(found, BadLine):
        raise Fault("invalid_request", f"the body is {found.message}")
    if not is_object(found):
        raise Fault("invalid_request", f"the body is a JSON {_KINDS[type(found)]}; send an object")
    return found


def media_type(request: Request) -> str:
    """The Content-Type without its parameters, lower case; "" where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_multipart(request: Request) -> bool:
    """Whether the body is a form with files. Raises Fault where a web page could have sent it without asking first."""
    if media_type(request) != MULTIPART:
        return False
    if not any(name in request.headers for name in CHOSEN_HEADERS):
        raise Fault("unsupported_media_type", f"send {MULTIPART} with the header `X-API-Version: 2`")
    return True


_KINDS: Final[dict[type, str]] = {
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _too_large(max_bytes: int) -> Fault:
    return Fault(
        "payload_too_large",
        f"the body is larger than {max_bytes:,} bytes; send files with POST /files and name them in the message",
    )
