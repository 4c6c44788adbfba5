"""`agentkit integration`: whom a server is connected with."""

from __future__ import annotations

import time
from itertools import islice
from typing import Annotated, Final

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, Limit, Sure, add, confirm, group
from agentkit.cli.connection import connect as connected
from agentkit.cli.exits import DONE, FAILED
from agentkit.cli.prompt import hidden_value
from agentkit.cli.screen import Screen
from agentkit.client.inference import Inference
from agentkit.errors import NotFoundError
from agentkit.wire import Integration, IntegrationStatus

__all__ = ["add_to"]

HELP = """Integrations of a server: connections to providers, by OAuth or API key, for tools and apps.

\b
  agentkit integration list --available
  agentkit integration connect github --with-key
  agentkit integration connect google --scope sheets
"""
POLL_SECONDS: Final = 1.0

Name = Annotated[str, typer.Argument(metavar="PROVIDER", help="As `integration list --available` names it.")]


def add_to(root: typer.Typer) -> None:
    """Puts the words on the command line."""
    words = group(HELP)
    add(words, "list", list_integrations)
    add(words, "connect", connect)
    add(words, "disconnect", disconnect)
    root.add_typer(words, name="integration")


def list_integrations(
    available: Annotated[bool, typer.Option("--available", help="What can be connected.")] = False,
    limit: Limit = 50,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Lists what is connected, or what can be."""
    screen = Screen(as_json)
    with connected(base_url, api_key) as client:
        if available:
            offered = client.integrations.available()
            shown = [(each.provider, each.name, each.type, _ready(each.available)) for each in offered]
            screen.table(("provider", "name", "by", "ready"), shown, records=[each.to_wire() for each in offered])
            return
        found = list(islice(client.integrations.iterate(), limit))
    rows = [(each.provider, each.status, each.type, each.account_name, each.error_message) for each in found]
    columns = ("provider", "status", "by", "account", "error")
    screen.table(columns, rows, records=[each.to_wire() for each in found])


def connect(
    provider: Name,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="By an API key: asked for without echo, or read from stdin.")
    ] = False,
    scope: Annotated[list[str] | None, typer.Option(help="A further scope, or what it is for: sheets.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a yes in the browser.")] = 300,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> int:
    """Connects the server with a provider: by OAuth, unless --with-key; prints where to say yes, and waits for it."""
    screen = Screen(as_json)
    key = hidden_value(f"API key of {provider}") if with_key else None
    with connected(base_url, api_key) as client:
        begun = client.integrations.connect(provider, api_key=key, scopes=scope or ())
        if not begun.auth_url:
            return _told(screen, begun.integration)
        screen.say("Open this in a browser, and say yes:")
        if as_json:
            screen.line({"auth_url": begun.auth_url})
        else:
            screen.text(f"{begun.auth_url}\n")
        return _told(screen, _answered(client, provider, before=begun.integration, seconds=wait))


def disconnect(provider: Name, yes: Sure = False, base_url: BaseUrl = None, api_key: ApiKey = None) -> int:
    """Disconnects; the server forgets the tokens. Asks first, at a terminal."""
    if not confirm(f"Disconnect {provider}?", is_sure=yes):
        return FAILED
    with connected(base_url, api_key) as client:
        client.integrations.disconnect(provider)
    Screen().say(f"{provider} is disconnected")
    return DONE


# -- parts ---------------------------------------------------------------------------------------------------------


def _ready(is_available: bool) -> str:
    return "yes" if is_available else "needs a client id"


def _answered(client: Inference, provider: str, *, before: Integration | None, seconds: float) -> Integration | None:
    """The connection once it changed; as it is when the time is over, None where it was disconnected."""
    until = time.monotonic() + seconds
    while True:
        try:
            now = client.integrations.get(provider)
        except NotFoundError:
            return None
        if before is None or now.updated_at != before.updated_at or time.monotonic() >= until:
            return now
        time.sleep(min(POLL_SECONDS, max(0.0, until - time.monotonic())))


def _told(screen: Screen, found: Integration | None) -> int:
    if screen.is_json and found is not None:
        screen.line(found.to_wire())
    if found is not None and found.status == IntegrationStatus.CONNECTED:
        screen.say(f"{found.display_name} is connected")
        return DONE
    why = (found.error_message or "nobody said yes yet") if found else "it was disconnected"
    screen.say(f"not connected: {why}")
    return FAILED
