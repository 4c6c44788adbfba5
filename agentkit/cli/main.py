"""The `agentkit` command: which words there are, and how errors reach a person.

A mistake is one sentence on stderr and an exit code (`exits`), never a traceback. Only the word that was typed is
imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

from agentkit.cli.exits import INTERRUPTED, code_of, text_of
from agentkit.errors import AgentKitError, MissingExtraError

__all__ = ["INTERRUPTED", "main"]

HELP = """Agents and apps, on this machine and hosted, over one protocol.

\b
Write an app and run it here:
  agentkit app init hello && cd hello
  agentkit app run --set text=hi

\b
Start a server, deploy to it, run:
  agentkit serve --db agentkit.db
  export AGENTKIT_BASE_URL=http://127.0.0.1:8787
  agentkit app deploy
  agentkit task run hello --set text=hi

In Python:  inference(base_url="http://127.0.0.1:8787")

\b
Exit codes: 0 done, 1 failed, 2 command line, 3 not found, 4 key, 5 nobody answers, 130 Ctrl-C.
Every command takes --help; those with results take --json.
"""

WORDS: Final = {  # word -> the module that has `add_to`, and what --help says of it
    "app": ("agentkit.cli.app", "Write, run, test and deploy apps."),
    "task": ("agentkit.cli.task", "Run apps on a server, watch, cancel."),
    "session": ("agentkit.cli.session", "Workers leased over several calls."),
    "approvals": ("agentkit.cli.approvals", "What agents ask people: list, approve, reject, watch."),
    "secret": ("agentkit.cli.secret", "Store secrets for tools and apps, list, delete."),
    "integration": ("agentkit.cli.integration", "Connect the server with Google, GitHub and others."),
    "mcp": ("agentkit.cli.mcp", "Offer an agent to programs that speak MCP; list servers' tools."),
    "fleet": ("agentkit.cli.fleet", "Show the server's workers and queue."),
    "serve": ("agentkit.cli.serve", "Be the server: agents, chats, apps, tasks and files over HTTP."),
    "version": ("agentkit.cli.version", "Print the version."),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits. `arguments` are those of the process unless given."""
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    except AgentKitError as error:
        sys.stderr.write(f"agentkit: {text_of(error)}\n")
        code = code_of(error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        arguments = ["version"]
    try:
        import typer  # an extra
    except ImportError:
        raise MissingExtraError("the agentkit command", extra="cli,serve") from None
    app = typer.Typer(
        help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    typed = next((each for each in arguments if not each.startswith("-")), None)
    for word, (module, told) in WORDS.items():
        if word == typed:
            importlib.import_module(module).add_to(app)
        else:
            app.command(word, help=told)(_elsewhere)
    code: Any = app(args=arguments, prog_name="agentkit", standalone_mode=True)
    return code if isinstance(code, int) else 0


def _elsewhere() -> None:
    """Stands for a word that was not typed, in the list of words."""
