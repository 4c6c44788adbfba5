"""Stored agents as a client sees them."""

from __future__ import annotations

from typing import Any

from agentkit.runtime.dto._common import common
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import AgentRecord, AgentVersionRecord
from agentkit.wire import Agent, AgentVersion

__all__ = ["agent", "agent_version"]


def agent(tx: Reading, record: AgentRecord) -> dict[str, Any]:
    """The AgentDTO with its current version."""
    version = tx.get(AgentVersionRecord, record.version_id)
    body = Agent.parse(
        {
            **common(record),
            "namespace": record.namespace,
            "name": record.name,
            "images": record.images,
            "visibility": record.visibility,
            "version_id": record.version_id,
        }
    ).to_wire()
    body["version"] = agent_version(version) if version else None
    return body


def agent_version(record: AgentVersionRecord) -> dict[str, Any]:
    """The AgentVersionDTO: the config's fields beside the identity."""
    config = record.config.to_wire()
    return AgentVersion.parse({**config, **common(record), "agent_id": record.agent_id}).to_wire()
