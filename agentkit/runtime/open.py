"""A platform on this machine, put together: SQLite, an engine and a bus in this process, files beside the database."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agentkit.runtime.answers import Limits
from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.models.registry import Models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import ModelProvider
from agentkit.runtime.store._database import Synchronous
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore

__all__ = ["MEMORY", "files_beside", "open_models", "open_platform"]

MEMORY: Final = ":memory:"
MODEL_VARIABLE: Final = "AGENTKIT_MODEL"


def open_platform(
    *,
    db: str | Path = MEMORY,
    models: Models | None = None,
    model: str = "",
    aliases: Mapping[str, str] | None = None,
    providers: Mapping[str, ModelProvider] | None = None,
    keys: Sequence[str] = (),
    agents: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    environ: Mapping[str, str] | None = None,
    synchronous: Synchronous = "FULL",
) -> Platform:
    """The platform over one database file; enter it to open the file and to start.

    `models` replaces what `model`, `aliases` and `providers` would make; `agents` are stored agents given in code,
    `{"namespace/name": config}`. `environ` is os.environ unless given.
    """
    return Platform(
        store=SqliteStore(db, synchronous=synchronous),
        engine=LocalEngine(),
        bus=LocalBus(),
        models=models or open_models(model=model, aliases=aliases, providers=providers, environ=environ),
        blobs=Blobs(files_beside(db)),
        limits=limits,
        agents=agents,
        keys=keys,
    )


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
