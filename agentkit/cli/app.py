"""`agentkit app`: the words about apps."""

from __future__ import annotations

import typer

from agentkit.cli.app_deploy import deploy
from agentkit.cli.app_init import init
from agentkit.cli.app_records import delete, get, list_apps, promote, versions
from agentkit.cli.app_run import run
from agentkit.cli.app_test import test
from agentkit.cli.commands import add, group
from agentkit.cli.task_logs import app_logs

__all__ = ["add_to"]

HELP = """Write, run, test and deploy apps.

\b
On this machine, with a worker process of its own and no server:
  agentkit app init hello --template stream
  agentkit app run hello --set text="one two three"
  agentkit app test hello

\b
On a server (AGENTKIT_BASE_URL, INFERENCE_API_KEY):
  agentkit app deploy hello --stage
  agentkit app versions hello
  agentkit app promote hello@k3v9x2ab
  agentkit app logs hello --follow
"""


def add_to(root: typer.Typer) -> None:
    """Puts the words on the command line."""
    words = group(HELP)
    add(words, "init", init)
    add(words, "run", run)
    add(words, "test", test)
    add(words, "deploy", deploy)
    add(words, "list", list_apps)
    add(words, "get", get)
    add(words, "versions", versions)
    add(words, "promote", promote)
    add(words, "delete", delete)
    add(words, "logs", app_logs)
    root.add_typer(words, name="app")
