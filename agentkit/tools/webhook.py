"""Tools that call a webhook (`type: hook`); `http_tool` is the newer way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from agentkit.errors import ToolDefinitionError
from agentkit.tools._builder import ToolBuilder
from agentkit.tools.http import check_url

__all__ = ["WebhookToolBuilder", "webhook_tool"]


@dataclass(frozen=True, kw_only=True, repr=False)
class WebhookToolBuilder(ToolBuilder):
    """Posts the arguments to a URL, which answers at once or later through the callback."""

    KIND: ClassVar[str] = "hook"

    url: str
    secret_key: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_url(self.url, what=self._what)

    def secret(self, key: str) -> Self:
        """The *name* in the team's secret store of what signs the calls."""
        if not key:
            raise ToolDefinitionError(f"{self._what}: the secret has no name; write .secret('HOOK_SECRET')")
        return replace(self, secret_key=key)

    def config(self) -> dict[str, Any]:
        """All three keys, `secret` null where there is none (protocol.md 6.7, the Python column)."""
        return {"url": self.url, "secret": self.secret_key, "input_schema": self.inputs.to_schema()}


def webhook_tool(name: str, url: str) -> WebhookToolBuilder:
    """A tool that posts to a URL of yours.

    >>> webhook_tool("notify", "https://h.example/x").secret("HOOK_SECRET").build()["hook"]["secret"]
    'HOOK_SECRET'
    """
    return WebhookToolBuilder(name=name, url=url)
