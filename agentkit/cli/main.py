"""The `agentkit` command: which words there are, and how errors reach a person.

A mistake is one sentence on stderr and exit code 1 (2 for the command line itself), never a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from agentkit import __version__
from agentkit.errors import AgentKitError, MissingExtraError

__all__ = ["INTERRUPTED", "main"]

INTERRUPTED = 130  # as shells say Ctrl-C

HELP = """Agents out of tools, locally and hosted, over one protocol.

Start a server:  agentkit serve --db agentkit.db

Then, in Python:  inference(base_url="http://127.0.0.1:8787")
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits. `arguments` are those of the process unless given."""
    try:
        code = _run(arguments)
    except AgentKitError as error:
        sys.stderr.write(f"agentkit: {error}\n")
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        import typer  # an extra
    except ImportError:
        raise MissingExtraError("the agentkit command", extra="cli,serve") from None
    from agentkit.cli.serve import serve  # needs typer

    app = typer.Typer(
        help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    app.command()(serve)
    app.command()(version)
    code = app(args=None if arguments is None else list(arguments), prog_name="agentkit", standalone_mode=True)
    return code if isinstance(code, int) else 0


def version() -> None:
    """Prints the version."""
    sys.stdout.write(f"agentkit {__version__}\n")
