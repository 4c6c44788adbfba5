"""Agents, and client tools, offered as tools of an MCP server, over any client.

    async with Runtime() as runtime:
        offer = McpOffer(runtime.async_client(), agents=[OfferedAgent("helper", {"core_app": "offline/extract"})])
        app = offer.server().streamable_http_app()

Needs the extra `mcp`. What an agent asks people to allow is asked of whoever uses the MCP client, where that can ask
(elicitation); else the call is rejected, and the agent reads why.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import anyio.to_thread
from pydantic_core import from_json, to_json

from agentkit import __version__
from agentkit.client.agent import AsyncAgent
from agentkit.client.inference import AsyncInference
from agentkit.client.results import TurnResult
from agentkit.client.turns import AsyncTurn
from agentkit.errors import AgentKitError, MissingExtraError, ToolError, UsageError
from agentkit.protocol.events import TextDelta, ToolCalled, ToolFinished
from agentkit.tools.client import ClientTool
from agentkit.tools.context import MCP_KEY, ToolContext, idempotency_key
from agentkit.tools.jsonable import is_object
from agentkit.tools.result import ToolOutput, result_text
from agentkit.wire import Interrupt, InterruptReason

if TYPE_CHECKING:  # an extra
    import mcp_types
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server

    Context: TypeAlias = ServerRequestContext[Any, Any]
    Answer: TypeAlias = mcp_types.CallToolResult | mcp_types.InputRequiredResult

__all__ = ["McpOffer", "OfferedAgent"]

NOBODY: Final = "nobody can be asked: the program that uses this agent over MCP does not ask people"
LONGEST_KEY: Final = 255  # characters of an idempotency key, as for the header
LONGEST_ARGUMENTS: Final = 2_000  # characters of a call that a person is shown
STOP_SECONDS: Final = 5.0
ASK_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "What the agent should do or answer."},
        "chat_id": {
            "type": "string",
            "description": "Goes on with an earlier conversation; leave it out to begin one.",
        },
    },
    "required": ["message"],
    "additionalProperties": False,
}
SAID_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "chat_id": {"type": "string"}},
    "required": ["text"],
}
ALLOW_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "allow": {"type": "boolean", "title": "Allow"},
        "reason": {"type": "string", "title": "Reason, where not"},
    },
    "required": ["allow"],
}


@dataclass(frozen=True, slots=True)
class OfferedAgent:
    """An agent as the tool `ask_<name>`: a reference or a config, and what its tool is told to be."""

    name: str
    definition: Any
    description: str = ""
    output_schema: Mapping[str, Any] | None = None

    @property
    def tool_name(self) -> str:
        """The name of its tool."""
        return f"ask_{self.name}"


@dataclass(frozen=True, slots=True)
class _Said:
    """What a person said to a call."""

    is_allowed: bool
    reason: str = ""


class McpOffer:
    """What is offered. Raises UsageError where two tools would have one name."""

    def __init__(
        self,
        client: AsyncInference,
        *,
        agents: Sequence[OfferedAgent] = (),
        tools: Sequence[ClientTool[..., Any]] = (),
    ) -> None:
        self._client = client
        self._agents = {each.tool_name: each for each in agents}
        self._tools = {each.name: each for each in tools}
        if len({*self._agents, *self._tools}) < len(agents) + len(tools):
            raise UsageError("two of the offered tools have one name; give an agent or a tool another")

    def server(self, name: str = "agentkit") -> Server[Any]:
        """The MCP server, for any transport of the SDK. Raises MissingExtraError."""
        try:
            from mcp.server.lowlevel import Server
        except ImportError:
            raise MissingExtraError("offering agents over MCP", extra="mcp") from None
        return Server(name, version=__version__, on_list_tools=self._list, on_call_tool=self._call)

    # -- the protocol ----------------------------------------------------------------------------------------------

    async def _list(self, context: Context, params: Any) -> mcp_types.ListToolsResult:
        import mcp_types as types

        asks = [
            types.Tool(
                name=each.tool_name,
                description=each.description or f"Asks the agent {each.name}.",
                input_schema=dict(ASK_SCHEMA),
                output_schema=_declared(each),
            )
            for each in self._agents.values()
        ]
        tools = [
            types.Tool(
                name=each.name,
                description=str(each.spec.get("description") or ""),
                input_schema={"type": "object", **each.spec["client"]["input_schema"]},
            )
            for each in self._tools.values()
        ]
        return types.ListToolsResult(tools=[*asks, *tools])

    async def _call(self, context: Context, params: mcp_types.CallToolRequestParams) -> Answer:
        try:
            if (agent := self._agents.get(params.name)) is not None:
                return await self._ask(context, params, agent)
            if (tool := self._tools.get(params.name)) is not None:
                return await self._run_tool(context, params, tool)
        except AgentKitError as error:
            return _failed(str(error))
        there = ", ".join([*self._agents, *self._tools])
        return _failed(f"there is no tool {params.name!r}; there are {there}")

    # -- agents ----------------------------------------------------------------------------------------------------

    async def _ask(self, context: Context, params: mcp_types.CallToolRequestParams, offered: OfferedAgent) -> Answer:
        """One turn with the agent, with every question that it raises."""
        arguments = params.arguments or {}
        message, chat_id = arguments.get("message"), arguments.get("chat_id")
        if not isinstance(message, str) or not isinstance(chat_id, str | None):
            return _failed("`message` is a text, and `chat_id` too where it is given")
        if params.request_state is not None:  # the same call once more, with what people said
            agent = self._client.agents.resume(_chat_of(params.request_state), offered.definition)
            answers = params.input_responses or {}
            await self._decide(agent, {id: _said(answer) for id, answer in answers.items()})
            turn = agent.resume(when_parked="return")
        else:
            known = self._client.agents
            agent = known.resume(chat_id, offered.definition) if chat_id else known.create(offered.definition)
            turn = agent.stream(message, when_parked="return")
        try:
            return await self._through(context, agent, turn, offered)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(STOP_SECONDS, shield=True):
                await agent.stop_chat()
            raise

    async def _through(
        self, context: Context, agent: AsyncAgent[Any], turn: AsyncTurn[Any], offered: OfferedAgent
    ) -> Answer:
        while True:
            result = await _followed(context, turn)
            if result.outcome != "parked":
                return _answered(result, offered)
            asked = [each for each in result.pending if each.reason == InterruptReason.TOOL_APPROVAL]
            if len(asked) < len(result.pending) or not asked:
                await agent.stop_chat()
                return _failed(f"the agent waits for {_waiting(result)}, which cannot be answered over MCP")
            if _asks_later(context):
                return _questions(agent, asked)
            await self._decide(agent, {each.id: await _asked(context, each) for each in asked})
            turn = agent.resume(when_parked="return")

    async def _decide(self, agent: AsyncAgent[Any], said: Mapping[str, _Said]) -> None:
        """Passes on what people said to the questions that wait still. What nobody answered is rejected.

        By the question: a call may be asked about again, and who allowed it once did not allow it twice.
        """
        for each in await agent.pending():
            if each.reason == InterruptReason.TOOL_APPROVAL:
                answer = said.get(each.id, _Said(False, NOBODY))
                if answer.is_allowed:
                    await agent.approve(each.resource_id, arguments_hash=each.arguments_hash or None)
                else:
                    await agent.reject(each.resource_id, answer.reason)

    # -- tools -----------------------------------------------------------------------------------------------------

    async def _run_tool(
        self, context: Context, params: mcp_types.CallToolRequestParams, tool: ClientTool[..., Any]
    ) -> Answer:
        """Calls the handler, after asking whoever has to allow it."""
        arguments = params.arguments or {}
        if tool.spec.get("require_approval"):
            question = Interrupt.parse({"id": tool.name, "meta": {"tool_name": tool.name, "arguments": arguments}})
            if params.input_responses is not None:
                said = _said(params.input_responses.get(tool.name))
            elif _asks_later(context):
                return _questions(None, [question])
            else:
                said = await _asked(context, question)
            if not said.is_allowed:
                return _failed(f"the call was not allowed: {said.reason or 'no reason given'}")
        try:
            return _returned(await _call_handler(context, tool, arguments))
        except ToolError as error:
            return _failed(str(error))
        except Exception as error:
            return _failed(f"{type(error).__name__}: {error}")


# -- parts ---------------------------------------------------------------------------------------------------------


def _declared(agent: OfferedAgent) -> dict[str, Any] | None:
    """The schema of `structuredContent`: MCP takes objects."""
    if agent.output_schema is None:
        return dict(SAID_SCHEMA)
    return dict(agent.output_schema) if agent.output_schema.get("type") == "object" else None


async def _followed(context: Context, turn: AsyncTurn[Any]) -> TurnResult[Any]:
    """The turn's result; its steps are told as progress."""
    steps = 0
    async with turn:
        async for event in turn:
            match event:
                case ToolCalled():
                    told = f"calls {event.invocation.function.name}"
                case ToolFinished():
                    told = f"{event.invocation.function.name} is done"
                case TextDelta() if not steps:
                    told = "answers"
                case _:
                    continue
            steps += 1
            await context.session.report_progress(float(steps), message=told)
        return await turn.result()


def _answered(result: TurnResult[Any], offered: OfferedAgent) -> mcp_types.CallToolResult:
    import mcp_types as types

    chat_id = result.chat_id or ""
    if offered.output_schema is not None and result.output is None:
        return _failed(f"the agent finished without a result; its last words: {result.text[:1_000]}")
    text = result.text if result.output is None else _as_text(result.output)
    structured: Any = {"text": text, "chat_id": chat_id}
    if offered.output_schema is not None:
        structured = result.output if _declared(offered) else None
    parts = [types.TextContent(text=text), types.TextContent(text=f"chat_id: {chat_id}")]
    return types.CallToolResult(content=[*parts], structured_content=structured)


def _waiting(result: TurnResult[Any]) -> str:
    return ", ".join(each.tool_name or str(each.reason) for each in result.pending) or "a tool of another program"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value, fallback=str).decode()


def _failed(text: str) -> mcp_types.CallToolResult:
    import mcp_types as types

    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)


def _returned(value: Any) -> mcp_types.CallToolResult:
    import mcp_types as types

    output = value if isinstance(value, ToolOutput) else ToolOutput(value)
    text = result_text(output.text)
    if output.files:
        text += f"\n[{len(output.files)} files are left out: they travel with an agent's chat]"
    plain = _object_in(text)
    return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=plain)


def _object_in(text: str) -> dict[str, Any] | None:
    try:
        found = from_json(text)
    except ValueError:
        return None
    return found if is_object(found) else None


def _given_key(context: Context) -> str | None:
    """The key that a client sends with all its attempts at a call, where it does."""
    key = (context.meta or {}).get(MCP_KEY)
    return key if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isprintable() else None


async def _call_handler(context: Context, tool: ClientTool[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What the handler returns; a plain function runs in a thread."""
    is_over = False
    ids = (f"mcp-{context.session.protocol_version}", str(context.request_id or ""))
    ctx = ToolContext(
        chat_id=ids[0],
        invocation_id=ids[1],
        tool_name=tool.name,
        idempotency_key=_given_key(context) or idempotency_key(*ids, tool.name, arguments),
        is_cancelled=lambda: is_over,
    )
    try:
        if tool.is_async:
            return await tool.call(arguments, ctx)
        value = await anyio.to_thread.run_sync(lambda: tool.call(arguments, ctx), abandon_on_cancel=True)
        return await value if inspect.isawaitable(value) else value
    finally:
        is_over = True


# -- questions -----------------------------------------------------------------------------------------------------


def _can_ask(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


def _asks_later(context: Context) -> bool:
    """Whether questions go out as a result, which the client sends again with the answers (protocol 2026-07-28)."""
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS

    return _can_ask(context) and context.session.protocol_version in MODERN_PROTOCOL_VERSIONS


def _question(interrupt: Interrupt) -> str:
    arguments = json.dumps(interrupt.arguments, ensure_ascii=False)
    shown = arguments if len(arguments) <= LONGEST_ARGUMENTS else f"{arguments[:LONGEST_ARGUMENTS]} ..."
    call = f"{interrupt.tool_name or 'this call'} with {shown}"
    if is_object(interrupt.meta) and interrupt.meta.get("unknown_outcome"):
        return f"It may have run already, and what came of it is unknown. Run it again: {call}?"
    return f"Allow {call}?"


def _questions(agent: AsyncAgent[Any] | None, asked: Sequence[Interrupt]) -> mcp_types.InputRequiredResult:
    import mcp_types as types

    requests: dict[str, Any] = {
        each.id: types.ElicitRequest(
            params=types.ElicitRequestFormParams(message=_question(each), requested_schema=dict(ALLOW_SCHEMA))
        )
        for each in asked
    }
    state = json.dumps({"chat_id": agent.chat_id}) if agent is not None else None
    return types.InputRequiredResult(input_requests=requests, request_state=state)


async def _asked(context: Context, interrupt: Interrupt) -> _Said:
    """Asks over the connection itself (protocols before 2026-07-28)."""
    if not _can_ask(context) or not context.session.can_send_request:
        return _Said(False, NOBODY)
    question, schema = _question(interrupt), dict(ALLOW_SCHEMA)
    return _said(await context.session.elicit_form(question, schema, related_request_id=context.request_id))


def _said(answer: Any) -> _Said:
    """What an elicitation came to. Anything but a clear yes is a no."""
    content = getattr(answer, "content", None)
    match getattr(answer, "action", None):
        case "accept" if is_object(content) and content.get("allow") is True:
            return _Said(True)
        case "accept" if is_object(content):
            return _Said(False, str(content.get("reason") or "rejected"))
        case _:
            return _Said(False, "rejected")


def _chat_of(state: str) -> str:
    try:
        found = from_json(state)
    except ValueError:
        found = None
    if not is_object(found) or not isinstance(chat_id := found.get("chat_id"), str):
        raise UsageError("the `requestState` is not one that was given out here")
    return chat_id
