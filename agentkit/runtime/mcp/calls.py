"""A call under way at an MCP server, as far as the server may speak back to it, and how calls end without a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from agentkit.runtime.ports import ModelMessage

__all__ = ["Action", "Lost", "Refused", "Talk", "Unavailable"]

Action: TypeAlias = Literal["accept", "decline", "cancel"]


class Talk(Protocol):
    """What a server may ask for while it carries out a call."""

    chat_id: str
    idempotency_key: str

    async def tell(self, message: str, progress: float | None = None, total: float | None = None) -> None:
        """Progress, or a line of its log."""
        ...

    async def ask(
        self, message: str, *, schema: Mapping[str, Any] | None, url: str | None
    ) -> tuple[Action, Mapping[str, Any] | None]:
        """What a person says: fills in a form of this schema, or opens the URL."""
        ...

    async def sample(self, system_prompt: str, messages: Sequence[ModelMessage], settings: Mapping[str, Any]) -> str:
        """What the agent's model answers. Raises ToolFailure, Gone."""
        ...


class Unavailable(Exception):
    """There is no connection to the server, and nothing was asked of it. `str()` is a sentence that names it.

    `is_lasting`: it stays so until somebody changes the configuration. `secret` names a secret that is not there.
    """

    def __init__(
        self,
        text: str,
        *,
        retry_after_seconds: float | None = None,
        is_lasting: bool = False,
        secret: str | None = None,
    ) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds
        self.is_lasting = is_lasting or secret is not None
        self.secret = secret


class Lost(Exception):
    """The connection ended under a call. `had_effect` False: the server surely did nothing; None: nobody knows."""

    def __init__(self, text: str, *, had_effect: bool | None = None) -> None:
        super().__init__(text)
        self.had_effect = had_effect


class Refused(Exception):
    """The server answered the request with an error, or with what is no answer. `str()` is what it said."""

    def __init__(self, text: str, *, had_effect: bool | None = None, is_transient: bool = False) -> None:
        super().__init__(text)
        self.had_effect = had_effect
        self.is_transient = is_transient
