"""A value that nobody shall see: typed without echo at a terminal, else read from stdin."""

from __future__ import annotations

import getpass
import sys

from agentkit.cli.exits import Mistake

__all__ = ["hidden_value"]


def hidden_value(what: str) -> str:
    """The value, without the line's end. Raises Mistake where there is none."""
    if sys.stdin.isatty():
        value = getpass.getpass(f"{what}: ", stream=sys.stderr)
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise Mistake(f"{what}: nothing was given; type it, or send it to stdin")
    return value
