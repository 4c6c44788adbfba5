"""The logs of a task as text, in any of the forms that platforms have sent them (protocol.md 10 row 48)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from agentkit.wire import TaskLog

__all__ = ["log_text"]


def log_text(logs: str | Sequence[TaskLog | str]) -> str:
    """A text as it is, a list of texts one per line, logs in base64 decoded.

    >>> log_text([TaskLog(content="aGVsbG8K"), "bye"])
    'hello\\nbye'
    """
    if isinstance(logs, str):
        return logs
    parts = [each if isinstance(each, str) else _decoded(each.content) for each in logs]
    return "".join(each if each.endswith("\n") else f"{each}\n" for each in parts[:-1]) + "".join(parts[-1:])


def _decoded(content: str) -> str:
    """The text of a log; where it is no base64, the content itself."""
    try:
        return base64.b64decode(content, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return content
