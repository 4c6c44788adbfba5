"""Where tools may go, who is told of questions to people, and where others reach this runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agentkit.errors import ConfigError
from agentkit.runtime.mcp.config import McpServerConfig

__all__ = ["Reach", "is_webhook"]


def is_webhook(url: str) -> bool:
    """Whether something can be posted to this URL: http or https, a host, and nobody's name or password.

    >>> is_webhook("https://chat.example.com/hooks?token=x"), is_webhook("chat.example.com/hooks")
    (True, False)
    """
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and has_place


@dataclass(frozen=True, slots=True)
class Reach:
    """`allow_hosts`: what HTTP tools and webhooks may reach although it is not public; `mcp`: the servers by name.

    `public_url`: how others reach this runtime, for those who call back. `approval_webhooks`: the URLs that are told of
    every question to a person, signed with the secret that `approval_webhook_secret` names; None: those of the
    database. Raises ConfigError.
    """

    allow_hosts: Sequence[str] = ()
    mcp: Mapping[str, McpServerConfig] = field(default_factory=dict[str, McpServerConfig])
    public_url: str | None = None
    approval_webhooks: Sequence[str] | None = None
    approval_webhook_secret: str = ""

    def __post_init__(self) -> None:
        for number, url in enumerate(self.approval_webhooks or (), 1):  # not repeated: it may hold a token
            if not is_webhook(url):
                raise ConfigError(
                    f"approval webhook {number} is no URL of somebody who could be told, such as "
                    "https://chat.example.com/approvals"
                )
