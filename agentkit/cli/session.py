"""`agentkit session`: workers that were leased over several calls."""

from __future__ import annotations

from typing import Annotated

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, add, group
from agentkit.cli.connection import connect
from agentkit.cli.screen import Screen

__all__ = ["add_to"]

HELP = """Sessions: workers leased over several calls, so that an app keeps its state.

\b
  agentkit task run acme/notes:add --set text=milk --session new --json
  agentkit task run acme/notes:search --session SESSION_ID
  agentkit session end SESSION_ID
"""

SessionId = Annotated[str, typer.Argument(metavar="SESSION_ID")]


def add_to(root: typer.Typer) -> None:
    """Puts the words on the command line."""
    words = group(HELP)
    add(words, "list", list_sessions)
    add(words, "get", get)
    add(words, "end", end)
    root.add_typer(words, name="session")


def list_sessions(base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Lists the sessions that can be called."""
    with connect(base_url, api_key) as client:
        found = client.sessions.list()
    rows = [(each.id, each.status, each.app_id, each.call_count, each.expires_at) for each in found]
    columns = ("session", "status", "app", "calls", "expires")
    Screen(as_json).table(columns, rows, records=[each.to_wire() for each in found])


def get(session_id: SessionId, base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Shows a session: whether it can be called, and until when."""
    with connect(base_url, api_key) as client:
        found = client.sessions.get(session_id)
    screen = Screen(as_json)
    if as_json:
        screen.result(found.to_wire())
    else:
        until = f"ended {found.ended_at}" if found.ended_at else f"expires {found.expires_at}"
        screen.text(f"{found.id}  {found.status}, {found.call_count} calls, {until}\n")


def end(session_id: SessionId, base_url: BaseUrl = None, api_key: ApiKey = None) -> None:
    """Ends a session and frees its worker, after the call that is under way."""
    with connect(base_url, api_key) as client:
        client.sessions.end(session_id)
    Screen().say(f"session {session_id} is ended")
