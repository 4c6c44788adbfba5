"""Where tools may go, and where others reach this runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentkit.runtime.mcp.config import McpServerConfig

__all__ = ["Reach"]


@dataclass(frozen=True, slots=True)
class Reach:
    """`allow_hosts`: what HTTP tools and webhooks may reach although it is not public; `mcp`: the servers by name.

    `public_url`: how others reach this runtime, for those who call back.
    """

    allow_hosts: Sequence[str] = ()
    mcp: Mapping[str, McpServerConfig] = field(default_factory=dict[str, McpServerConfig])
    public_url: str | None = None
