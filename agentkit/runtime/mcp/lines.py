"""What a server writes beside the protocol, in our log: no line too long, not too many, no secret in them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["ServerLog"]

logger = logging.getLogger("agentkit.mcp")

LONGEST_LINE: Final = 500  # characters
MOST_LINES: Final = 100  # in PERIOD_SECONDS
PERIOD_SECONDS: Final = 10.0


class ServerLog:
    """The log of one server. `clock` is monotonic, in seconds."""

    def __init__(self, name: str, *, hidden: Sequence[str], clock: Callable[[], float]) -> None:
        self._name = name
        self._hidden = hidden
        self._clock = clock
        self._since = 0.0
        self._lines = 0
        self._left_out = 0
        self.last: deque[str] = deque(maxlen=5)

    def line(self, text: str, *, level: int = logging.INFO) -> None:
        """Logs a line of the server's, unless there were too many just now."""
        shown = self.masked(text.strip())[:LONGEST_LINE]
        if not shown:
            return
        self.last.append(shown)
        now = self._clock()
        if now - self._since > PERIOD_SECONDS:
            self.flush()
            self._since, self._lines = now, 0
        self._lines += 1
        if self._lines > MOST_LINES:
            self._left_out += 1
        else:
            logger.log(level, "MCP server %s: %s", self._name, shown)

    def flush(self) -> None:
        """Says how many lines were left out, if any."""
        if self._left_out:
            logger.warning("MCP server %s: %d more lines are left out", self._name, self._left_out)
        self._left_out = 0

    def masked(self, text: str) -> str:
        """The text without the secrets that this server was given."""
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text
