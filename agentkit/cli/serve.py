"""`agentkit serve`: the platform on this machine, under uvicorn."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentkit import __version__
from agentkit.cli.commands import add
from agentkit.cli.exits import INTERRUPTED
from agentkit.cli.keyfile import key_in
from agentkit.cli.lock import alone_with
from agentkit.errors import ConfigError, MissingExtraError
from agentkit.runtime.auth import refuse_open_door
from agentkit.runtime.config import ServerConfig
from agentkit.runtime.models.registry import Models
from agentkit.runtime.open import FleetConfig, open_models, open_platform
from agentkit.runtime.ratelimits import RateLimits
from agentkit.runtime.server import create_app

if TYPE_CHECKING:
    import uvicorn

__all__ = ["add_to", "serve"]

GRACE_SECONDS = 5  # for answers under way when the server is told to stop; streams end at once
BACKLOG = 128
ANY_ADDRESS = ("0.0.0.0", "::", "")  # listened on, but nowhere to call back


def add_to(root: typer.Typer) -> None:
    """Puts the word on the command line."""
    add(root, "serve", serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; others than 127.0.0.1 need a key.")] = None,
    port: Annotated[str | None, typer.Option(help="Port; 0 takes a free one. [default: 8787]")] = None,
    db: Annotated[str | None, typer.Option(help="SQLite file, made if needed. [default: in memory]")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="Key that clients must send; `-` reads it from stdin. Others see arguments: prefer the file."
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File that holds the key; made with a new one if needed, mode 600.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model for agents that name none, such as openai/gpt-5-mini.")
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="NAME=REFERENCE: answer to this name with that model; * is any name.")
    ] = None,
    cors_origin: Annotated[list[str] | None, typer.Option(help="A web page's origin that may call.")] = None,
    host_name: Annotated[list[str] | None, typer.Option(help="A further name this server is reached by.")] = None,
    max_body_bytes: Annotated[str | None, typer.Option(help="Largest JSON body. [default: 10485760]")] = None,
    max_upload_bytes: Annotated[str | None, typer.Option(help="Largest file. [default: 1073741824]")] = None,
    workers: Annotated[
        str | None, typer.Option(help="How many processes run apps, at most. [default: one per processor]")
    ] = None,
    worker_memory: Annotated[str | None, typer.Option(help="What each may take, such as 512m or 4g.")] = None,
    task_timeout: Annotated[
        str | None, typer.Option(help="Seconds a task may run where its app does not say. [default: 3600]")
    ] = None,
    secrets: Annotated[
        str | None, typer.Option(metavar="FILE", help="KEY=VALUE lines for the tools and apps that name the keys.")
    ] = None,
    integrations: Annotated[
        str | None, typer.Option(metavar="FILE", help="Providers to connect, beside the known ones: JSON or YAML.")
    ] = None,
    mcp: Annotated[
        list[str] | None,
        typer.Option(help="NAME=COMMAND or NAME=URL of an MCP server, or a JSON file with `mcpServers`."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="What tools may reach although it is not public: 10.0.0.0/8, localhost:8080, wiki.internal."),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(help="Where others reach this server: webhooks call back. [default: where it listens]"),
    ] = None,
    approval_webhook: Annotated[
        list[str] | None, typer.Option(help="URL that is told what people are asked, and what was answered.")
    ] = None,
    approval_webhook_secret: Annotated[
        str | None, typer.Option(metavar="NAME", help="The secret, by its name, that those are signed with.")
    ] = None,
    rate_limits: Annotated[
        str | None,
        typer.Option(
            help="`default` (run=100/m,get=1000/m,upload=50/m for each key), `off`, or a list such as run=10/s. "
            "[default: `default` with a key, else off]"
        ),
    ] = None,
    no_console: Annotated[bool, typer.Option("--no-console", help="Serve no web console at /console.")] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: warning]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as one line of JSON.")] = False,
) -> int:
    """Serves agents, chats, approvals, apps, tasks and files over HTTP, for agentkit and the official SDKs.

    Apps run in worker processes of this machine; none is started before the first task.

    Each option can be set in the environment too: AGENTKIT_HOST, AGENTKIT_PORT, AGENTKIT_DB, AGENTKIT_API_KEY,
    AGENTKIT_MODEL, AGENTKIT_ALIASES, AGENTKIT_CORS_ORIGINS, AGENTKIT_HOST_NAMES, AGENTKIT_MAX_BODY_BYTES,
    AGENTKIT_MAX_UPLOAD_BYTES, AGENTKIT_WORKERS, AGENTKIT_WORKER_MEMORY, AGENTKIT_TASK_TIMEOUT,
    AGENTKIT_SECRETS_FILE, AGENTKIT_INTEGRATIONS_FILE, AGENTKIT_MCP, AGENTKIT_ALLOW_HOSTS, AGENTKIT_PUBLIC_URL,
    AGENTKIT_APPROVAL_WEBHOOKS, AGENTKIT_APPROVAL_WEBHOOK_SECRET, AGENTKIT_RATE_LIMITS, AGENTKIT_CONSOLE (on or off),
    AGENTKIT_LOG_LEVEL. Stored secrets are sealed with AGENTKIT_SECRET_KEY, or the file AGENTKIT_SECRET_KEY_FILE
    [default: <db>.key]. Model keys come from OPENAI_API_KEY and its kin; without any, offline/extract answers.

    \b
    agentkit serve --db agentkit.db
    agentkit serve --db agentkit.db --workers 4 --worker-memory 2g --secrets apps.env
    agentkit serve --mcp "time=mcp-server-time" --allow-host localhost:8080
    """
    config = ServerConfig.resolve(
        environ=os.environ,
        host=host,
        port=port,
        db=db,
        api_keys=_keys(api_key, api_key_file),
        model=model,
        aliases=alias,
        cors_origins=cors_origin,
        host_names=host_name,
        max_body_bytes=max_body_bytes,
        max_upload_bytes=max_upload_bytes,
        workers=workers,
        worker_memory=worker_memory,
        task_timeout=task_timeout,
        secrets_file=secrets,
        integrations_file=integrations,
        mcp=mcp,
        allow_hosts=allow_host,
        public_url=public_url,
        approval_webhooks=approval_webhook,
        approval_webhook_secret=approval_webhook_secret,
        rate_limits=rate_limits,
        console=False if no_console else None,
        log_level=log_level,
    )
    if config.rate_limits is None and config.api_keys:
        config = config.but(rate_limits=RateLimits.default())
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return _serve(config, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Listening:
    """What a person, or a program, wants to know of a server that runs."""

    config: ServerConfig
    url: str
    port: int
    model: str

    def as_json(self) -> str:
        told: dict[str, Any] = {"url": self.url, "port": self.port, "db": self.config.db, "model": self.model}
        told["console"] = self._console
        return json.dumps({**told, "needs_key": bool(self.config.api_keys), "version": __version__, "pid": os.getpid()})

    def as_text(self) -> str:
        key = 'api_key=os.environ["AGENTKIT_API_KEY"], ' if self.config.api_keys else ""
        kept = "in memory, gone when it stops" if self.config.db == ":memory:" else self.config.db
        told = [
            f"agentkit {__version__} listens on {self.url}",
            f"  database  {kept}",
            f"  model     {self.model} (for agents that name none)",
            f"  client    inference({key}base_url={self.url!r})",
            *([f"  console   {self._console}"] if self._console else []),
            "Ctrl-C stops it.",
        ]
        return "\n".join(told)

    @property
    def _console(self) -> str | None:
        return f"{self.url}/console" if self.config.console else None


def _serve(config: ServerConfig, *, as_json: bool) -> int:
    """Serves until a signal; returns the exit code."""
    models = open_models(model=config.model, aliases=config.aliases)
    with alone_with(config.db) as is_alone:
        if not is_alone:
            sys.stderr.write(f"agentkit: warning: another server uses {config.db}; both will change it\n")
        return asyncio.run(_run(config, models, as_json=as_json))


async def _run(config: ServerConfig, models: Models, *, as_json: bool) -> int:
    import_uvicorn()
    refuse_open_door(config, needs_key=bool(config.api_keys))
    with _listen(config) as listener:
        shown = f"[{config.host}]" if ":" in config.host else config.host
        port = listener.getsockname()[1]
        url = f"http://{shown}:{port}"
        async with open_platform(
            db=config.db,
            models=models,
            keys=config.api_keys,
            fleet=_fleet(config),
            secrets_file=config.secrets_file or None,
            integrations_file=config.integrations_file or None,
            mcp=config.mcp,
            allow_hosts=config.allow_hosts,
            public_url=config.public_url or (None if config.host in ANY_ADDRESS else url),
            approval_webhooks=config.approval_webhooks,
            approval_webhook_secret=config.approval_webhook_secret,
            max_upload_bytes=config.max_upload_bytes,
        ) as platform:
            app = create_app(platform, config=config)
            server = _server(app, is_behind_proxy=bool(config.public_url))
            listening = _Listening(config, url, port, models.resolve(None))
            with _signals(server) as caught:
                sys.stdout.write((listening.as_json() if as_json else listening.as_text()) + "\n")
                sys.stdout.flush()
                await server.serve(sockets=[listener])
    return INTERRUPTED if signal.SIGINT in caught else 0


def _fleet(config: ServerConfig) -> FleetConfig:
    usual = FleetConfig(size=config.workers, memory_bytes=config.worker_memory)
    return usual if config.task_timeout is None else replace(usual, default_timeout_seconds=config.task_timeout)


def import_uvicorn() -> Any:
    """The uvicorn package. Raises MissingExtraError."""
    try:
        import uvicorn
    except ImportError:
        raise MissingExtraError("agentkit serve", extra="serve") from None
    return uvicorn


def _server(app: Any, *, is_behind_proxy: bool) -> uvicorn.Server:
    """The server. `X-Forwarded-*` of a proxy on this machine count only where there is said to be one."""
    package = import_uvicorn()

    class Server(package.Server):  # type: ignore[name-defined,misc]  # the package is optional
        """A uvicorn server that ends streams when it stops, and leaves signals to us."""

        def capture_signals(self) -> Any:
            return nullcontext()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.streams.close()
            stop: Any = super()
            await stop.shutdown(sockets)

    return Server(
        package.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=is_behind_proxy,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


@contextmanager
def _signals(server: uvicorn.Server) -> Generator[list[int]]:
    """While entered, Ctrl-C and SIGTERM stop the server in good order (a second Ctrl-C at once); tells what came."""
    caught: list[int] = []

    def handle(number: int, frame: Any) -> None:
        caught.append(number)
        server.handle_exit(number, frame)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(config: ServerConfig) -> socket.socket:
    """The listening socket. Raises ConfigError where the address cannot be had."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, number, _, address = found[0]
        listener = socket.socket(family, kind, number)
        try:
            if os.name == "posix":  # elsewhere it would let two servers share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another --port "
            "(0 takes a free one) or --host (AGENTKIT_PORT, AGENTKIT_HOST)"
        ) from None
    return listener


def _keys(api_key: str | None, file: Path | None) -> list[str]:
    if api_key and file:
        raise ConfigError("give --api-key or --api-key-file, not both")
    if file is not None:
        key, is_new = key_in(file)
        if is_new:
            sys.stderr.write(f"agentkit: a new key is in {file}\n")
        return [key]
    if api_key == "-":
        return [sys.stdin.readline().strip()]
    return [api_key] if api_key else []
