"""`agentkit mcp`: an agent as an MCP server, and a look at the tools of one."""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer
from anyio.abc import TaskStatus

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, add, group
from agentkit.cli.exits import INTERRUPTED, Mistake
from agentkit.cli.screen import Screen
from agentkit.client.config import configure
from agentkit.client.definition import Definition
from agentkit.client.inference import AsyncInference
from agentkit.errors import ConfigError, ConnectError, MissingExtraError, NotFoundError
from agentkit.local import Runtime
from agentkit.mcpserve import McpOffer, OfferedAgent
from agentkit.runtime.config import is_loopback
from agentkit.runtime.mcp.calls import Unavailable
from agentkit.runtime.mcp.listing import McpToolInfo
from agentkit.runtime.mcp.servers import McpServers
from agentkit.tools._builder import suggested_name
from agentkit.tools.client import ClientTool
from agentkit.tools.jsonable import is_mapping
from agentkit.tools.toolbox import Toolbox
from agentkit.wire import AgentConfig

if TYPE_CHECKING:  # an extra
    from mcp.server.lowlevel import Server

__all__ = ["add_to"]

GRACE_SECONDS = 2  # for answers under way when told to stop; streams end then too

HELP = """MCP: offer an agent to programs that speak it, and look at what servers offer.

\b
  agentkit mcp serve --agent agent.json
  agentkit mcp serve --agent my_module:agent --tools --http 127.0.0.1:8000
  agentkit mcp list 'mcp-server-time --local-timezone UTC'
  agentkit mcp list https://docs.example/mcp
"""

AgentOption = Annotated[
    str,
    typer.Option(
        "--agent",
        metavar="AGENT",
        help="A JSON file with the agent's config, module:name of one in Python, or namespace/name of a stored one.",
    ),
]
Db = Annotated[str, typer.Option("--db", help="SQLite file of chats and stored agents. [default: in memory]")]
Model = Annotated[str, typer.Option("--model", help="Model for agents that name none, such as openai/gpt-5-mini.")]
Http = Annotated[
    str, typer.Option("--http", metavar="HOST:PORT", help="Listen for streamable HTTP at /mcp instead of using stdio.")
]
Tools = Annotated[
    bool, typer.Option("--tools", help="Offer the agent's own Python tools too, one by one (module:name only).")
]
Server_ = Annotated[str, typer.Argument(metavar="SERVER", help="A command line, or a URL.")]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="For the command.")]
Header = Annotated[list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="For the URL.")]


def add_to(root: typer.Typer) -> None:
    """Puts the words on the command line."""
    words = group(HELP)
    add(words, "serve", serve)
    add(words, "list", list_tools)
    root.add_typer(words, name="mcp")


# -- serve ---------------------------------------------------------------------------------------------------------


def serve(
    agent: AgentOption,
    db: Db = "",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = "",
    http: Http = "",
    tools: Tools = False,
) -> int:
    """Offers an agent as an MCP tool, over stdin and stdout unless told otherwise.

    The tool takes a message, tells the agent's steps as progress, and gives its answer, as structured content where the
    agent has an output schema. The agent runs in this process, or on the server of --base-url. What it asks people to
    allow is asked through the MCP client; where that cannot ask, the call is rejected.

    \b
    agentkit mcp serve --agent agent.json
    agentkit mcp serve --agent acme/helper --base-url http://127.0.0.1:8787
    """
    if db and base_url:
        raise Mistake("--db is for an agent that runs here, --base-url for one that runs on a server; give one")
    _import_sdk("agentkit mcp serve")
    if http:
        _address(http)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    name, definition = _definition(agent)
    options = {"db": db or ":memory:", "model": model}

    async def run() -> int:
        async with _client(options, base_url, api_key) as client:
            offered = await _offered(client, name, definition)
            own = _own_tools(definition) if tools else []
            server = McpOffer(client, agents=[offered], tools=own).server(name)
            return await (_over_http(server, http) if http else _over_stdio(server))

    return anyio.run(run)


@asynccontextmanager
async def _client(
    options: Mapping[str, Any], base_url: str | None, api_key: str | None
) -> AsyncGenerator[AsyncInference]:
    """A client of the server that was named, else of a runtime here."""
    async with AsyncExitStack() as stack:
        if base_url:
            yield await stack.enter_async_context(AsyncInference(config=configure(api_key, base_url)))
        else:
            runtime = await stack.enter_async_context(Runtime(**options))
            yield await stack.enter_async_context(runtime.async_client())


def _definition(agent: str) -> tuple[str, Any]:
    """The agent's name and what it is: a reference, or a config with its tools."""
    module, colon, attribute = agent.partition(":")
    if agent.endswith(".json"):
        config = _read(Path(agent))
    elif colon and "/" not in agent:
        config = _imported(module, attribute)
    elif not agent.strip():
        raise Mistake("--agent is empty; give a JSON file, module:name or namespace/name")
    else:
        return suggested_name(agent.partition("@")[0].rpartition("/")[2]), agent
    given = config.get("name") if is_mapping(config) else getattr(config, "name", None)
    return suggested_name(str(given or (Path(agent).stem if not colon else attribute))), config


def _read(path: Path) -> Any:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Mistake(f"the agent {str(path)!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise Mistake(f"the agent {str(path)!r} is no JSON: {error}") from None
    if not is_mapping(config):
        raise Mistake(f'the agent {str(path)!r} is no JSON object: write a config, such as {{"core_app": ...}}')
    return config


def _imported(module: str, attribute: str) -> Any:
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise Mistake(f"the agent's module {module!r} cannot be imported: {error}") from None
    except AttributeError:
        raise Mistake(f"the module {module!r} has no {attribute!r}") from None


async def _offered(client: AsyncInference, name: str, definition: Any) -> OfferedAgent:
    """The agent with its description and its output schema."""
    if isinstance(definition, str):
        try:
            record = await client.agents.get(definition.partition("@")[0])
        except NotFoundError:
            raise Mistake(f"there is no agent {definition!r}; see agentkit mcp serve --help") from None
        config = AgentConfig.parse(record.version.to_wire() if record.version else {})
    else:
        config = AgentConfig.parse(Definition.of(definition).config or {})
    return OfferedAgent(name, definition, config.description or "", config.output_schema)


def _own_tools(definition: Any) -> list[ClientTool[..., Any]]:
    """The tools of the agent that have a function here; says which have none."""
    given = definition.get("tools") if is_mapping(definition) else getattr(definition, "tools", None)
    box = Toolbox.of(given or ())
    left = [str(spec["name"]) for spec in box.specs if spec["name"] not in box.handlers]
    if left:
        Screen().say(f"not offered one by one, since they run in a chat of the agent: {', '.join(left)}")
    return list(box.handlers.values())


# -- transports ----------------------------------------------------------------------------------------------------


async def _over_stdio(server: Server[Any]) -> int:
    from agentkit.cli.mcp_wire import wire  # stands on the SDK, an extra

    scope, codes = anyio.CancelScope(), list[int]()
    with scope:
        async with _told_to_end(scope.cancel, codes), wire() as (received, sent):
            await server.run(received, sent, server.create_initialization_options())
    return codes[0] if codes else 0


async def _over_http(server: Server[Any], address: str) -> int:
    from agentkit.cli.serve import import_uvicorn  # stands on an extra

    host, port = _address(address)
    uvicorn = import_uvicorn()
    config = uvicorn.Config(
        server.streamable_http_app(host=host.strip("[]")),
        host=host.strip("[]"),
        port=port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    http = uvicorn.Server(config)
    http.capture_signals = nullcontext
    with closing(config.bind_socket()) as listener:
        Screen().say(f"MCP at http://{host}:{listener.getsockname()[1]}/mcp; Ctrl-C stops it")
        codes: list[int] = []
        async with _told_to_end(lambda: setattr(http, "should_exit", True), codes):
            await http.serve(sockets=[listener])
    return codes[0] if codes else 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Mistake(f"--http {text!r} is no HOST:PORT, such as 127.0.0.1:8000")
    if not is_loopback(host):
        raise ConfigError(
            f"--http {text}: others could use the agent, and nobody is asked for a key here; "
            "listen on 127.0.0.1, behind a proxy that asks"
        )
    return host, int(port)


@asynccontextmanager
async def _told_to_end(stop: Callable[[], object], codes: list[int]) -> AsyncGenerator[None]:
    """While entered, Ctrl-C and SIGTERM call `stop`; `codes` gets the exit code of what came."""

    async def watch(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                codes.append(INTERRUPTED if number == signal.SIGINT else 128 + number)
                stop()

    async with anyio.create_task_group() as group:
        await group.start(watch)
        yield
        group.cancel_scope.cancel()


# -- list ----------------------------------------------------------------------------------------------------------


def list_tools(server: Server_, env: Env = None, header: Header = None, as_json: AsJson = False) -> None:
    """Lists the tools of an MCP server, with what it says of their effects.

    \b
    agentkit mcp list 'npx -y @modelcontextprotocol/server-everything'
    agentkit mcp list https://docs.example/mcp --header 'Authorization=Bearer ...' --json
    """
    is_url = server.startswith(("http://", "https://"))
    spec = {
        "url" if is_url else "command": server,
        **({"env": _pairs("--env", env)} if env else {}),
        **({"headers": _pairs("--header", header)} if header else {}),
    }

    async def run() -> list[McpToolInfo]:
        async with McpServers({"server": spec}).run() as servers:
            return list((await servers["server"].listing()).tools)

    try:
        found = anyio.run(run)
    except Unavailable as error:
        raise ConnectError(str(error)) from None
    rows = [(each.name, _hints(each.annotations), each.description.partition("\n")[0]) for each in found]
    Screen(as_json).table(("tool", "effects", "what it does"), rows, records=[_record(each) for each in found])


def _record(tool: McpToolInfo) -> dict[str, Any]:
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "annotations": tool.annotations,
    }


def _hints(annotations: Mapping[str, Any]) -> str:
    """The server's word on what a call does."""
    if annotations.get("readOnlyHint") is True:
        return "reads"
    told = [
        word
        for name, word in (("destructiveHint", "destroys"), ("idempotentHint", "may be repeated"))
        if annotations.get(name) is True
    ]
    return ", ".join(told) or "?"


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in given or ():
        name, equals, value = entry.partition("=")
        if not equals or not name.strip():
            raise Mistake(f"{option} {name!r}: write NAME=VALUE")
        found[name.strip()] = value
    return found


def _import_sdk(what: str) -> None:
    try:
        importlib.import_module("mcp")
    except ImportError:
        raise MissingExtraError(what, extra="mcp") from None
