"""Streamable HTTP, with answers that the SDK can tell apart.

The SDK takes its whole session down where one request cannot be sent. The transport here says instead, for that one
request, what happened: a JSON-RPC error with one of the codes below, which `connection` reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

import httpx2
from pydantic_core import from_json, to_json

from agentkit.runtime.mcp.config import McpServerConfig

__all__ = ["BROKEN", "BROKE_OFF", "DENIED", "LARGEST_ANSWER", "NOT_CONNECTED", "REFUSED", "SESSION_OVER", "open_client"]

SESSION_OVER: Final = -32071  # the server does not know our session (any more), and did nothing
NOT_CONNECTED: Final = -32072  # nobody took the request
BROKEN: Final = -32073  # the request was sent, or partly; no answer came
DENIED: Final = -32074  # HTTP 401, 403
REFUSED: Final = -32075  # another HTTP status that is none of success; `data` has it

BROKE_OFF: Final = "the answer broke off"  # in the message of an error that the SDK makes
LARGEST_ANSWER: Final = 32 << 20  # bytes
LARGEST_ERROR: Final = 64 << 10
CONNECT_SECONDS: Final = 10.0
SESSION_HEADER: Final = "mcp-session-id"


def open_client(config: McpServerConfig) -> httpx2.AsyncClient:
    """The HTTP client of one server. It waits for ever for an answer: calls have their own time."""
    return httpx2.AsyncClient(
        headers={"accept-encoding": "identity", **config.headers},
        timeout=httpx2.Timeout(CONNECT_SECONDS, read=None),
        transport=_Telling(httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=200))),
        trust_env=False,
    )


class _Telling(httpx2.AsyncBaseTransport):
    """Turns failures of a request into answers to it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return _error(503, NOT_CONNECTED, f"nobody answers at {_place(request)}: {_reason(error)}")
        except httpx2.TransportError as error:
            return _error(503, BROKEN, f"the connection to {_place(request)} broke: {_reason(error)}")
        if request.method == "POST" and response.status_code >= 400:
            return await _told(request, response)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            return _error(502, BROKEN, f"{_place(request)} answered compressed, which was not asked for")
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            response.stream = _Bounded(response, LARGEST_ANSWER)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of an answer up to a limit. What goes wrong is a StreamError, which the SDK keeps to the request."""

    def __init__(self, response: httpx2.Response, limit: int) -> None:
        self._inner: Any = response.stream
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        try:
            async for chunk in self._inner:
                read += len(chunk)
                if read > self._limit:
                    raise httpx2.StreamError(f"the answer is larger than {self._limit} bytes")
                yield chunk
        except httpx2.TransportError as error:
            raise httpx2.StreamError(f"{BROKE_OFF}: {_reason(error)}") from None

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _told(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """The answer to a request that was refused: the server's own JSON-RPC error where it is one."""
    status, body = response.status_code, b""
    try:
        async for chunk in _Bounded(response, LARGEST_ERROR):
            body += chunk
    except httpx2.StreamError:
        body = b""
    finally:
        await response.aclose()
    said = _message(body)
    if SESSION_HEADER in request.headers and (status == 404 or (status == 400 and "session" in said.lower())):
        return _error(404, SESSION_OVER, said or "the session is over")
    if status in (401, 403):
        return _error(status, DENIED, f"HTTP {_phrase(status)}")
    if said or status in (404, 405):
        return httpx2.Response(status, headers={"content-type": "application/json"}, content=body if said else b"")
    return _error(status, REFUSED, f"HTTP {_phrase(status)}", status=status)


def _message(body: bytes) -> str:
    """The message of a JSON-RPC error; "" for any other body."""
    try:
        said: Any = from_json(body)["error"]["message"]
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
    return said if isinstance(said, str) else ""


def _error(http_status: int, code: int, message: str, **data: Any) -> httpx2.Response:
    error = {"code": code, "message": message, **({"data": data} if data else {})}
    body = to_json({"jsonrpc": "2.0", "id": None, "error": error})
    return httpx2.Response(http_status, headers={"content-type": "application/json"}, content=body)


def _place(request: httpx2.Request) -> str:
    return f"{request.url.host}:{request.url.port or {'https': 443}.get(request.url.scheme, 80)}"


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
