"""Apps and their versions as a client sees them (protocol.md 5.2)."""

from __future__ import annotations

from typing import Any

from agentkit.runtime.dto._common import common
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import AppRecord, AppVersionRecord
from agentkit.wire import App, AppVersion

__all__ = ["app", "app_version"]


def app(tx: Reading, record: AppRecord, *, reader: str, version: AppVersionRecord | None = None) -> dict[str, Any]:
    """The AppDTO with its current version, or with the `version` that is given."""
    shown = version or (tx.get(AppVersionRecord, record.version_id) if record.version_id else None)
    body = App.parse(
        {
            **common(record),
            "user_id": record.owner,
            "namespace": record.namespace,
            "name": record.name,
            "description": record.description,
            "agent_description": record.agent_description,
            "category": record.category,
            "images": record.images,
            "visibility": record.visibility,
            "version_id": record.version_id,
        }
    ).to_wire()
    body["version"] = app_version(shown, is_owner=reader == record.owner) if shown else None
    return body


def app_version(record: AppVersionRecord, *, is_owner: bool) -> dict[str, Any]:
    """The AppVersionDTO. Others than the owner do not see where its code lies, nor its variables."""
    config = record.config.to_wire()
    if not is_owner:
        config |= {"repository": "", "env": {}, "metadata": {}}
    return AppVersion.parse({**config, **common(record), "checksum": record.checksum or None}).to_wire()
