"""One session with an MCP server, over the SDK's client. The task that runs `own` enters and leaves all of it.

Calls go on side by side in the tasks of their callers. A connection that is lost stays lost; `server` makes another.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

import anyio
import mcp_types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from agentkit import __version__
from agentkit.runtime.mcp import answers, http
from agentkit.runtime.mcp.calls import Lost, Refused, Talk, Unavailable
from agentkit.runtime.mcp.config import McpServerConfig
from agentkit.runtime.mcp.lines import ServerLog
from agentkit.runtime.mcp.listing import McpToolInfo
from agentkit.runtime.mcp.process import LONGEST_MESSAGE, ChildTransport
from agentkit.tools.context import MCP_KEY
from agentkit.tools.jsonable import is_object

__all__ = ["Connection"]

logger = logging.getLogger("agentkit.mcp")

MOST_TOOLS: Final = 1_000
MOST_PAGES: Final = 100
LARGEST_LISTING: Final = 1 << 20  # bytes of names, descriptions and schemas
CLOSE_SECONDS: Final = 10.0  # for all of it, the child's end included
LISTEN_AGAIN_SECONDS: Final = 5.0

_TALK: ContextVar[Talk | None] = ContextVar("mcp_call", default=None)


class Connection:
    """A session, from its start to its end. `ready` is set when it is up, or `failure` says why it is not."""

    def __init__(
        self,
        config: McpServerConfig,
        *,
        environ: Mapping[str, str],
        log: ServerLog,
        on_started: Callable[[Unavailable | None], None],
        on_tools_changed: Callable[[], None],
    ) -> None:
        self._config = config
        self._environ = environ
        self._log = log
        self._on_started = on_started
        self._on_tools_changed = on_tools_changed
        self._child: ChildTransport | None = None
        self._client: Client | None = None
        self._talks: list[Talk] = []  # of the calls under way, the latest last
        self._calls = 0
        self._end = anyio.Event()
        self._starting = anyio.CancelScope()  # around all of it; without a deadline once it is up
        self._is_retired = False
        self.ready = anyio.Event()
        self.failure: Unavailable | None = None
        self.is_over = False
        self.tells_changes = False

    # -- its life --------------------------------------------------------------------------------------------------

    async def own(self) -> None:
        """Starts the session, keeps it until it is lost or closed, and leaves nothing behind."""
        try:
            with self._starting as scope:
                scope.deadline = anyio.current_time() + self._config.start_seconds
                try:
                    await self._live(scope)
                except Exception as error:
                    self._broke(error)
            if scope.cancelled_caught and not self._end.is_set():
                self._fail(f"did not answer in {self._config.start_seconds:g} s")
        finally:
            self.is_over = True
            self._fail("is closed: the runtime stops")

    async def _live(self, scope: anyio.CancelScope) -> None:
        async with self._opened() as transport, self._session(transport) as client:
            scope.deadline = math.inf
            self._begin(client)
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, client)
                await self._end.wait()
                self.is_over = True
                scope.deadline = anyio.current_time() + CLOSE_SECONDS
                group.cancel_scope.cancel()

    def close(self) -> None:
        """Ends the session; calls under way are lost."""
        self._end.set()
        if not self.ready.is_set():
            self._starting.cancel()

    def retire(self) -> None:
        """Takes no more calls, and ends when those under way have ended."""
        self._is_retired = True
        if not self._calls:
            self.close()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[AbstractAsyncContextManager[Any]]:
        """The transport, not yet entered, and what it stands on."""
        if self._config.command:
            self._child = ChildTransport(self._config, environ=self._environ, log=self._log, on_lost=self._lost)
            yield self._child
            return
        async with http.open_client(self._config) as client:
            yield streamable_http_client(self._config.url, http_client=client, max_sse_event_size=LONGEST_MESSAGE)

    def _session(self, transport: AbstractAsyncContextManager[Any]) -> Client:
        config = self._config
        return Client(
            transport,
            client_info=mcp_types.Implementation(name="agentkit", version=__version__),
            cache=None,
            log_level="info",
            logging_callback=self._logged,
            message_handler=self._heard,
            elicitation_callback=self._elicit,
            sampling_callback=self._sample if config.sampling else None,
            list_roots_callback=self._roots if config.roots else None,
        )

    def _begin(self, client: Client) -> None:
        tools = client.server_capabilities.tools
        self.tells_changes = bool(tools and tools.list_changed)
        self._client = client
        self._on_started(None)
        self.ready.set()
        logger.info("MCP server %s is there, protocol %s", self._config.name, client.protocol_version)

    def _lost(self) -> None:
        """The child ended by itself."""
        self.is_over = True
        self._end.set()

    def _broke(self, error: Exception) -> None:
        reason = self._log.masked(f"it {self._child.ending}" if self._child and self._child.ending else _reason(error))
        if self.ready.is_set():
            logger.warning("MCP server %s: the connection broke: %s", self._config.name, reason)
            return
        for line in self._log.last:
            logger.warning("MCP server %s said before: %s", self._config.name, line)
        if (known := _found(error, Unavailable)) is not None:
            self._settle(known)
        else:
            self._fail(f"does not come up: {reason}")

    def _fail(self, what: str) -> None:
        self._settle(Unavailable(f"the MCP server {self._config.name!r} {what}"))

    def _settle(self, failure: Unavailable) -> None:
        """It did not come up, unless it did."""
        if not self.ready.is_set():
            self.failure = failure
            self._on_started(failure)
            self.ready.set()

    # -- what it is asked ------------------------------------------------------------------------------------------

    async def list_tools(self) -> list[McpToolInfo]:
        """All tools, page by page, up to the limits. Raises Lost, Refused."""
        found: list[McpToolInfo] = []
        size, cursor = 0, None
        client = self._connected()
        for _ in range(MOST_PAGES):
            try:
                with anyio.fail_after(self._config.start_seconds):
                    page = await client.list_tools(cursor=cursor)
            except TimeoutError:
                raise Refused(f"the MCP server {self._config.name!r} does not say which tools it has") from None
            except Exception as error:
                raise self._explained(error) from None
            for tool in page.tools:
                size += len(tool.model_dump_json())
                if len(found) == MOST_TOOLS or size > LARGEST_LISTING:
                    logger.warning("MCP server %s: tools from %r on are left out", self._config.name, tool.name[:100])
                    return found
                found.append(_info(tool))
            cursor = page.next_cursor
            if cursor is None:
                return found
        logger.warning("MCP server %s: tools after page %d are left out", self._config.name, MOST_PAGES)
        return found

    async def call_tool(self, name: str, arguments: Mapping[str, Any], talk: Talk) -> mcp_types.CallToolResult:
        """The result of a call. Raises Lost, Refused. Cancelled: the server is told."""
        client = self._connected()
        token = _TALK.set(talk)
        self._talks.append(talk)
        self._calls += 1

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            await talk.tell(message or "", progress, total)

        try:
            told: Any = {MCP_KEY: talk.idempotency_key}
            return await client.call_tool(name, dict(arguments), progress_callback=tell, meta=told)
        except Exception as error:
            raise self._explained(error) from None
        finally:
            _TALK.reset(token)
            self._talks.remove(talk)
            self._calls -= 1
            if self._is_retired and not self._calls:
                self.close()

    def _connected(self) -> Client:
        if self._client is None or self.is_over:
            raise Lost(f"the connection to the MCP server {self._config.name!r} is closed", had_effect=False)
        return self._client

    def _explained(self, error: Exception) -> Exception:
        """What went wrong, sorted by whether the connection can still be used."""
        name = self._config.name
        match error:
            case MCPError(code=http.SESSION_OVER):
                return Lost(f"the MCP server {name!r} ended the session", had_effect=False)
            case MCPError(code=http.NOT_CONNECTED):
                return Lost(f"the MCP server {name!r} is not there: {error.message}", had_effect=False)
            case MCPError(code=http.BROKEN):
                return Lost(f"the MCP server {name!r}: {error.message}")
            case MCPError(code=http.DENIED):
                return Refused(f"the MCP server {name!r} refuses us: {error.message}", had_effect=False)
            case MCPError(code=http.REFUSED):
                return _refused(name, error)
            case MCPError(code=mcp_types.CONNECTION_CLOSED) if self.is_over or error.message == "Connection closed":
                return Lost(f"the connection to the MCP server {name!r} ended")
            case MCPError(code=mcp_types.CONNECTION_CLOSED) if "SSE stream" in error.message:
                return Lost(f"the MCP server {name!r} broke its answer off")
            case MCPError(code=mcp_types.PARSE_ERROR) if http.BROKE_OFF in error.message:
                return Lost(f"the MCP server {name!r} broke its answer off")
            case MCPError(code=mcp_types.PARSE_ERROR):
                return Refused(f"the MCP server {name!r} answered what cannot be read: {_cut(error.message)}")
            case MCPError():
                return Refused(f"the MCP server {name!r} says: {_cut(self._log.masked(error.message))}")
            case ValidationError():
                place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
                return Refused(f"the MCP server {name!r} answered what the protocol does not allow, at {place[:200]}")
            case RuntimeError():  # so the SDK says that a result misses the tool's output schema
                return Refused(f"the MCP server {name!r}: {_cut(str(error))}")
            case _ if type(error).__module__.startswith(("anyio", "httpx2")):
                return Lost(f"the connection to the MCP server {name!r} ended")
            case _:
                return error

    # -- what it says by itself ------------------------------------------------------------------------------------

    def _talk(self) -> Talk | None:
        """Whose call the server speaks of.

        The task tells where the server's words came with the answer to a call. Else, as on a pipe, it is the latest
        call, if all that are under way belong to one chat: nobody is asked about another's.
        """
        if (known := _TALK.get()) is not None:
            return known
        chats = {each.chat_id for each in self._talks}
        return self._talks[-1] if len(chats) == 1 else None

    async def _logged(self, params: mcp_types.LoggingMessageNotificationParams) -> None:
        text = answers.said(params)
        self._log.line(text, level=logging.DEBUG)
        if (talk := self._talk()) is not None:
            await talk.tell(_cut(self._log.masked(text)))

    async def _heard(self, message: Any) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._on_tools_changed()

    async def _elicit(self, context: Any, params: mcp_types.ElicitRequestParams) -> Any:
        return await answers.elicited(self._talk(), params)

    async def _sample(self, context: Any, params: mcp_types.CreateMessageRequestParams) -> Any:
        return await answers.sampled(self._talk(), params)

    async def _roots(self, context: Any) -> Any:
        return answers.roots_of(self._config.roots)

    async def _listen(self, client: Client) -> None:
        """Hears of changed tools where servers tell it to those that listen only (protocol 2026-07-28)."""
        while self.tells_changes and client.protocol_version in MODERN_PROTOCOL_VERSIONS:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._on_tools_changed()
            except (MCPError, ListenNotSupportedError) as error:
                logger.debug("MCP server %s tells nobody of changes: %s", self._config.name, error)
                self.tells_changes = False
                return
            except (SubscriptionLost, TimeoutError):
                pass
            self._on_tools_changed()
            await anyio.sleep(LISTEN_AGAIN_SECONDS)


# -- parts ---------------------------------------------------------------------------------------------------------


def _info(tool: mcp_types.Tool) -> McpToolInfo:
    hints = tool.annotations
    return McpToolInfo(
        tool.name,
        tool.title or (hints.title if hints else None) or "",
        tool.description or "",
        tool.input_schema,
        tool.output_schema,
        hints.model_dump(by_alias=True, exclude_none=True) if hints else {},
    )


def _refused(name: str, error: MCPError) -> Refused:
    status = error.data.get("status") if is_object(error.data) else None
    is_transient = status in (429, 502, 503, 504)
    return Refused(
        f"the MCP server {name!r} answers {error.message}",
        had_effect=False if status == 429 else None,
        is_transient=is_transient,
    )


def _cut(text: str) -> str:
    """The first lines of what the SDK says: after them it repeats schema and result."""
    head = text.strip().split("\n\n")[0]
    return head if len(head) <= 1_000 else f"{head[:1_000]} ..."


def _reason(error: BaseException) -> str:
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if inside:
        return _reason(inside[0])
    if isinstance(error, MCPError) and error.message == "Connection closed":
        return "it ended before it had answered"
    return _cut(str(error)) or type(error).__name__


def _found(error: BaseException, kind: type[Unavailable]) -> Unavailable | None:
    """The exception of that kind, however deep in groups."""
    if isinstance(error, kind):
        return error
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return next((found for each in inside if (found := _found(each, kind))), None)
