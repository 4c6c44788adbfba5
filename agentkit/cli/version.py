"""`agentkit version`."""

from __future__ import annotations

import sys

import typer

from agentkit import __version__
from agentkit.cli.commands import add

__all__ = ["add_to"]


def add_to(root: typer.Typer) -> None:
    """Puts the word on the command line."""
    add(root, "version", version)


def version() -> None:
    """Prints the version."""
    sys.stdout.write(f"agentkit {__version__}\n")
