"""A platform on this machine, put together: SQLite, an engine and a bus in this process, files beside the database.

Apps run in worker processes of this machine; none is started before the first task.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agentkit.runtime.budgets import Limits
from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.credentials.keychain import Keychain
from agentkit.runtime.credentials.keyring import Keyring
from agentkit.runtime.credentials.providers import parse_providers, read_providers
from agentkit.runtime.credentials.secrets import Secrets
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.executors import ToolExecutor
from agentkit.runtime.fleet.liveness import Liveness
from agentkit.runtime.fleet.local import LocalFleet
from agentkit.runtime.mcp.config import McpServerSpec, read_servers
from agentkit.runtime.models.registry import Models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import Fleet, ModelProvider
from agentkit.runtime.reach import Reach
from agentkit.runtime.store._database import Synchronous
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.runtime.workshop import apps_beside

__all__ = ["MEMORY", "FleetConfig", "files_beside", "open_models", "open_platform"]

MEMORY: Final = ":memory:"
MODEL_VARIABLE: Final = "AGENTKIT_MODEL"


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """How many worker processes there are at most, and what they may take.

    `size` None: one per processor. `memory_bytes` is each worker's; `idle_seconds` is how long one without work stays;
    a task may take `default_timeout_seconds`, unless its app says otherwise.
    """

    size: int | None = None
    memory_bytes: int | None = None
    default_timeout_seconds: float = 3_600
    idle_seconds: float = 60
    cancel_seconds: float = 10
    kill_seconds: float = 5
    start_seconds: float = 120


def open_platform(
    *,
    db: str | Path = MEMORY,
    models: Models | None = None,
    model: str = "",
    aliases: Mapping[str, str] | None = None,
    providers: Mapping[str, ModelProvider] | None = None,
    keys: Sequence[str] = (),
    agents: Mapping[str, Any] | None = None,
    apps: Mapping[str, str | Path] | None = None,
    apps_folder: str | Path | None = None,
    compat: bool = False,
    secrets: Mapping[str, str] | None = None,
    secrets_file: str | Path | None = None,
    integrations: Mapping[str, Any] | None = None,
    integrations_file: str | Path | None = None,
    fleet: FleetConfig | Fleet | None = None,
    mcp: Mapping[str, McpServerSpec] | None = None,
    allow_hosts: Sequence[str] = (),
    public_url: str | None = None,
    approval_webhooks: Sequence[str] | None = None,
    approval_webhook_secret: str = "",
    limits: Limits | None = None,
    executors: Sequence[ToolExecutor] = (),
    environ: Mapping[str, str] | None = None,
    synchronous: Synchronous = "FULL",
    max_upload_bytes: int = 1 << 30,
) -> Platform:
    """The platform over one database file; enter it to open the file and to start.

    `models` replaces what `model`, `aliases` and `providers` would make; `agents` are stored agents given in code,
    `{"namespace/name": config}`, `apps` are folders, `{"namespace/name": path}`; `compat` says that they may import
    inferencesh where no line of theirs shows it. `apps_folder` keeps what is made for apps, their environments above
    all: beside the database unless given. `secrets` are there for the apps and tools that name them,
    over those of `secrets_file`; `integrations` are providers, over those of `integrations_file` and the catalogue.
    `mcp` are MCP servers by name: a command line, or a URL; `allow_hosts` is what HTTP tools and webhooks may reach
    although it is not public, such as `"10.0.0.0/8"` or `"localhost:8080"`; `public_url` is where others reach this
    runtime, for webhooks that call back. `approval_webhooks` are the URLs that are told of every question to a person,
    signed with the secret that `approval_webhook_secret` names; they are kept in the database, None leaves them
    as they are.
    `executors` carry out the calls of their kinds of tools in place of our own.
    `environ` is os.environ unless given.
    """
    given = os.environ if environ is None else environ
    store = SqliteStore(db, synchronous=synchronous)
    configured = Secrets.collect(secrets, environ=given, file=secrets_file)
    keychain = Keychain(
        store,
        configured=configured,
        keyring=Keyring.of(given, db=db),
        providers=parse_providers(
            {**(read_providers(integrations_file) if integrations_file else {}), **(integrations or {})}
        ),
    )
    return Platform(
        store=store,
        engine=LocalEngine(),
        bus=LocalBus(),
        models=models or open_models(model=model, aliases=aliases, providers=providers, environ=environ),
        blobs=Blobs(files_beside(db), max_bytes=max_upload_bytes),
        fleet=_fleet(fleet),
        engines=Liveness(db),
        apps_folder=apps_beside(db) if apps_folder is None else Path(apps_folder).absolute(),
        limits=limits,
        executors=executors,
        agents=agents,
        apps=apps,
        compat=compat,
        keychain=keychain,
        reach=Reach(allow_hosts, read_servers(mcp or {}), public_url, approval_webhooks, approval_webhook_secret),
        keys=keys,
    )


def _fleet(given: FleetConfig | Fleet | None) -> Fleet:
    return LocalFleet(**asdict(given or FleetConfig())) if isinstance(given, FleetConfig | None) else given


def open_models(
    *,
    model: str = "",
    aliases: Mapping[str, str] | None = None,
    providers: Mapping[str, ModelProvider] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Models:
    """The models; `model` answers for agents that name none. Raises ModelNotFoundError, ConfigError."""
    whole = {**(os.environ if environ is None else environ), **({MODEL_VARIABLE: model} if model else {})}
    models = Models(environ=whole, aliases=aliases, providers=providers)
    if "/" in model:
        models.pick(model)  # the environment would pass over a reference that nobody here answers to
    return models


def files_beside(db: str | Path) -> Path | None:
    """The folder for the bytes of files: `<db>.files`; None, a temporary one, for a database in memory."""
    return None if str(db) == MEMORY else Path(f"{db}.files")
