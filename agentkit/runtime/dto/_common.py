"""What every DTO begins with."""

from __future__ import annotations

from typing import Any

from agentkit.runtime.ids import SHORT
from agentkit.runtime.records import Record

__all__ = ["common"]


def common(record: Record) -> dict[str, Any]:
    """Identity and times (protocol.md 0.2)."""
    return {
        "id": record.id,
        "short_id": record.id[:SHORT],
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
