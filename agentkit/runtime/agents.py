"""Agents: stored ones by reference, ad-hoc ones as sent; both checked before a message is taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from agentkit.errors import ConfigError, ReferenceSyntaxError, SchemaError
from agentkit.protocol.refs import Reference
from agentkit.runtime import dto, invocations, pages, skills
from agentkit.runtime.asking import policies
from agentkit.runtime.executors import internal
from agentkit.runtime.faults import Fault
from agentkit.runtime.hooks import definition as hooks
from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import AgentRecord, AgentVersionRecord
from agentkit.runtime.service import LOCAL, Service
from agentkit.tools.schema import check_schema
from agentkit.wire import (
    AgentConfig,
    AgentTool,
    AgentToolConfig,
    CreateAgentRequest,
    CursorListRequest,
    RunAgentRequest,
    ToolType,
)

__all__ = ["Agents", "Resolved", "asked_agent", "check", "check_context", "predefine"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
EXECUTED = (ToolType.CLIENT, ToolType.APP, ToolType.AGENT, ToolType.HOOK, ToolType.HTTP, ToolType.CALL, ToolType.MCP)
_TARGETS: Mapping[str, tuple[str, ...]] = {  # by the kind: what says what it calls
    ToolType.APP: ("ref", "id"),
    ToolType.AGENT: ("ref", "id", "config"),
    ToolType.HOOK: ("url",),
    ToolType.HTTP: ("url",),
    ToolType.CALL: ("url",),
    ToolType.MCP: ("server", "integration_id"),
}
LONGEST_TOOL_SECONDS = 86_400.0
MOST_RETRIES = 10
DEEPEST_DEFINITION = 16  # of agents that come along in the tools of others


@dataclass(frozen=True, slots=True)
class Resolved:
    """An agent ready to run."""

    config: AgentConfig
    ref: str | None = None
    agent_id: str | None = None
    version_id: str | None = None
    name: str = ""


class Agents(Service):
    """Everything about stored agents, and which agent a message means."""

    async def create(self, owner: str, request: CreateAgentRequest, *, agent_id: str | None = None) -> dict[str, Any]:
        """POST /agents and POST /agents/{id}."""
        check(request.version or AgentConfig())
        return await self._write(lambda tx: create(tx, request, owner=owner, agent_id=agent_id))

    async def get(self, owner: str, agent_id: str) -> dict[str, Any]:
        """GET /agents/{id}."""
        return await self._store.read(lambda tx: dto.agent(tx, owned(tx, agent_id, owner=owner)))

    async def by_name(self, owner: str, namespace: str, name: str) -> dict[str, Any]:
        """GET /agents/{namespace}/{name}."""
        return await self._store.read(lambda tx: dto.agent(tx, by_name(tx, namespace, name, owner=owner)))

    async def page(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /agents/list."""
        return await self._store.read(
            lambda tx: pages.page(tx, AgentRecord, request, lambda each: dto.agent(tx, each), owner=owner)
        )

    async def versions(self, owner: str, agent_id: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /agents/{id}/versions/list."""

        def look(tx: Reading) -> dict[str, Any]:
            record = owned(tx, agent_id, owner=owner)
            return pages.page(tx, AgentVersionRecord, request, dto.agent_version, agent_id=record.id)

        return await self._store.read(look)

    async def version(self, owner: str, agent_id: str, version_id: str) -> dict[str, Any]:
        """GET /agents/{id}/versions/{id}."""

        def look(tx: Reading) -> dict[str, Any]:
            record = owned(tx, agent_id, owner=owner)
            version = tx.get(AgentVersionRecord, version_id)
            if version is None or version.agent_id != record.id:
                raise Fault("not_found", f"agent {agent_id!r} has no version {version_id!r}")
            return dto.agent_version(version)

        return await self._store.read(look)

    async def delete(self, owner: str, agent_id: str) -> None:
        """DELETE /agents/{id}: its chats keep the definition they began with."""

        def change(tx: Writing) -> None:
            record = owned(tx, agent_id, owner=owner)
            for version in tx.find(AgentVersionRecord, agent_id=record.id):
                tx.delete(version)
            tx.delete(record)

        await self._write(change)

    async def internal_tools(self) -> list[dict[str, Any]]:
        """GET /agents/internal-tools."""
        return [
            {
                "id": each.id,
                "name": each.id,
                "description": each.description,
                "tools": [tool.name for tool in each.tools],
                "scope": list(each.scope),
                "default_enabled": each.default_enabled,
            }
            for each in internal.catalogue()
        ]

    async def of(self, owner: str, request: RunAgentRequest) -> Resolved | None:
        """The agent a message names, ready to run; None where it names none."""
        if request.agent_config is not None and request.agent:
            raise Fault("invalid_request", "send `agent` or `agent_config`, not both")
        if request.agent_config is not None:
            config = request.agent_config
            return Resolved(config, name=request.agent_name or config.name or "")
        if request.agent:
            ref = request.agent
            return await self._store.read(lambda tx: resolve(tx, ref, owner=owner))
        return None


def resolve(tx: Reading, ref: str, *, owner: str) -> Resolved:
    """The stored agent behind `namespace/name[@version]`; without a version, or at `latest`, the current one."""
    try:
        parsed = Reference.parse(ref)
    except ReferenceSyntaxError as error:
        raise Fault("invalid_request", str(error)) from None
    record = by_name(tx, parsed.namespace or "", parsed.name, owner=owner)
    wanted = parsed.version
    version = tx.get(AgentVersionRecord, wanted or record.version_id)
    if version is None or version.agent_id != record.id:
        raise Fault("not_found", f"agent {record.namespace}/{record.name} has no version {wanted!r}")
    return Resolved(version.config, ref, record.id, version.id, record.name)


def by_name(tx: Reading, namespace: str, name: str, *, owner: str) -> AgentRecord:
    """The owner's agent of this name; a bare name is looked up in every namespace of the owner."""
    found = [
        each for each in tx.find(AgentRecord, owner=owner, name=name) if not namespace or each.namespace == namespace
    ]
    if len(found) != 1:
        full = f"{namespace}/{name}" if namespace else name
        raise Fault("not_found", f"agent {full!r} not found; store it with POST /agents, or send `agent_config`")
    return found[0]


def owned(tx: Reading, agent_id: str, *, owner: str) -> AgentRecord:
    """The owner's agent of this id."""
    record = tx.get(AgentRecord, agent_id)
    if record is None or record.owner != owner:
        raise Fault("not_found", f"agent {agent_id!r} not found")
    return record


def create(
    tx: Writing, request: CreateAgentRequest, *, owner: str, agent_id: str | None = None, version_id: str | None = None
) -> dict[str, Any]:
    """Stores an agent, or a new version of one (when an id is given, or the name is taken by the same owner)."""
    config = request.version or AgentConfig()
    existing = _existing(tx, request, owner=owner, agent_id=agent_id)
    record_id = existing.id if existing else new_id()
    version = tx.insert(AgentVersionRecord(id=version_id or new_id(), agent_id=record_id, config=config))
    if existing:
        record = tx.update(existing.but(version_id=version.id, images=request.images or existing.images))
        return dto.agent(tx, record)
    if not request.name:
        raise Fault("invalid_request", "an agent needs a name")
    record = tx.insert(
        AgentRecord(
            id=record_id,
            owner=owner,
            namespace=request.namespace or owner,
            name=request.name,
            version_id=version.id,
            images=request.images or {},
        )
    )
    return dto.agent(tx, record)


def asked_agent(tx: Reading, tool: AgentTool, *, owner: str) -> Resolved:
    """The agent that a tool of type `agent` asks: the one that comes along, or the owner's stored one. Raises Fault."""
    wanted = tool.agent or AgentToolConfig()
    if wanted.config is not None:
        if wanted.ref or wanted.id:
            raise Fault("invalid_request", "name a stored agent (`ref`) or send one along (`config`), not both")
        config = _sent_along(wanted.config)
        return Resolved(config, name=config.name or tool.name)
    if wanted.id:
        record = owned(tx, wanted.id, owner=owner)
        version = tx.get(AgentVersionRecord, wanted.version_id or record.version_id)
        if version is None or version.agent_id != record.id:
            raise Fault("not_found", f"agent {record.namespace}/{record.name} has no version {wanted.version_id!r}")
        return Resolved(version.config, wanted.ref, record.id, version.id, record.name)
    if not wanted.ref:
        raise Fault("invalid_request", "name the agent: `agent: {ref: 'namespace/name'}`, or send one as `config`")
    return resolve(tx, wanted.ref, owner=owner)


def check(config: AgentConfig, *, depth: int = 0) -> None:
    """Refuses an agent that could not run: unknown kinds, doubled names, schemas that are none. Raises Fault.

    So are the agents refused that come along in its tools; `depth`: how many this one came along in.
    """
    hooks.check(config.hooks or ())
    skills.check(config)
    policies.check(config)
    names = internal.names(config)
    for tool in config.tools or ():
        if not _NAME.fullmatch(tool.name):
            raise Fault("invalid_request", f"{tool.name!r} is no tool name: letters, digits, _ and -, 64 at most")
        if tool.name in names:
            raise Fault("invalid_request", f"two tools are called {tool.name!r}; rename one")
        names.add(tool.name)
        if tool.type not in EXECUTED:
            runs, kind = ", ".join(EXECUTED), str(tool.to_wire()["type"])
            raise Fault("not_configured", f"tool {tool.name!r}: this runtime runs {runs} tools, not {kind!r}")
        _check_target(tool)
        _check_timeout(tool)
        _check_sent_along(tool, depth=depth)
        _check_schema(invocations.input_schema(tool), what=f"tool {tool.name!r}")
    _check_schema(config.output_schema, what="output_schema")


def check_context(config: AgentConfig, context: Mapping[str, str]) -> dict[str, str]:
    """The chat's variables with the declared defaults. Raises Fault where a required one is missing."""
    complete = dict(context)
    for declared in config.context or ():
        if declared.name in complete:
            continue
        if declared.default is not None:
            complete[declared.name] = str(declared.default)
        elif declared.required:
            raise Fault("invalid_request", f"context variable {declared.name!r} is required: send it in `context`")
    return complete


def _existing(tx: Writing, request: CreateAgentRequest, *, owner: str, agent_id: str | None) -> AgentRecord | None:
    wanted = agent_id or request.id
    if wanted:
        return owned(tx, wanted, owner=owner)
    same = tx.find(AgentRecord, owner=owner, namespace=request.namespace or owner, name=request.name or "", limit=1)
    if same:
        raise Fault(
            "name_conflict",
            f"agent {same[0].namespace}/{same[0].name} exists; send its id {same[0].id!r} for a new version",
        )
    return None


def _check_target(tool: AgentTool) -> None:
    """What the tool calls has to be named; whether it is there is looked at when the tool is bound."""
    wanted, config = _TARGETS.get(tool.type), tool.config
    if wanted and not (config and any(config.get(name) for name in wanted)):
        member = str(tool.to_wire()["type"])
        raise Fault("validation_error", f"tool {tool.name!r}: its member {member!r} needs {' or '.join(wanted)}")


def _check_timeout(tool: AgentTool) -> None:
    if tool.timeout is not None and not 0 < tool.timeout <= LONGEST_TOOL_SECONDS:
        raise Fault(
            "validation_error",
            f"tool {tool.name!r}: timeout is {tool.timeout!r}; it is in seconds, {LONGEST_TOOL_SECONDS:.0f} at most",
        )
    if tool.retries is not None and not 0 <= tool.retries <= MOST_RETRIES:
        raise Fault("validation_error", f"tool {tool.name!r}: retries is 0 to {MOST_RETRIES}, not {tool.retries!r}")


def _check_sent_along(tool: AgentTool, *, depth: int) -> None:
    if tool.type != ToolType.AGENT or tool.agent is None or tool.agent.config is None:
        return
    if depth >= DEEPEST_DEFINITION:
        raise Fault("invalid_request", f"tool {tool.name!r}: agents come along {DEEPEST_DEFINITION} deep at most")
    try:
        check(_sent_along(tool.agent.config), depth=depth + 1)
    except Fault as fault:
        raise Fault(fault.code, f"tool {tool.name!r}: {fault.detail}", **fault.members) from None


def _sent_along(definition: Mapping[str, Any]) -> AgentConfig:
    try:
        return AgentConfig.parse(definition)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "(whole definition)"
        raise Fault("validation_error", f"its agent: {where}: {first['msg']}") from None


def _check_schema(schema: Any, *, what: str) -> None:
    if schema is None:
        return
    try:
        _checked(to_json(schema), what)
    except (SchemaError, PydanticSerializationError) as error:
        raise Fault("validation_error", str(error)) from None


@lru_cache(maxsize=512)
def _checked(schema: bytes, what: str) -> None:
    """Checks a schema once: an agent's travel with every message and seldom change. A failure is not remembered."""
    check_schema(from_json(schema), what=what)


def predefine(tx: Writing, ref: str, definition: Any) -> None:
    """Stores an agent given in code under its reference; the version in the reference becomes the version's id.

    Raises ConfigError where the definition is no agent that could run here.
    """
    config, parsed = _given_in_code(ref, definition), Reference.parse(ref)
    namespace, version_id = parsed.namespace or LOCAL, parsed.version
    found = tx.find(AgentRecord, owner=LOCAL, namespace=namespace, name=parsed.name, limit=1)
    version = tx.get(AgentVersionRecord, version_id or found[0].version_id) if found else None
    if found and version is not None and version.agent_id == found[0].id and (version_id or version.config == config):
        if version.config != config:
            tx.update(version.but(config=config))
        if found[0].version_id != version.id:
            tx.update(found[0].but(version_id=version.id))
        return
    request = CreateAgentRequest(
        id=found[0].id if found else None, namespace=namespace, name=parsed.name, version=config
    )
    create(tx, request, owner=LOCAL, version_id=version_id)


def _given_in_code(ref: str, definition: Any) -> AgentConfig:
    try:
        config = AgentConfig.parse(definition)
        check(config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "(whole definition)"
        raise ConfigError(f"agent {ref!r}: {where}: {first['msg']}") from None
    except Fault as error:
        raise ConfigError(f"agent {ref!r}: {error}") from None
    return config
