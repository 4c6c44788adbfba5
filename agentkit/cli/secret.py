"""`agentkit secret`: what tools and apps of a server prove themselves with."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, Limit, Sure, add, confirm, group
from agentkit.cli.connection import connect
from agentkit.cli.exits import DONE, FAILED
from agentkit.cli.prompt import hidden_value
from agentkit.cli.screen import Screen

__all__ = ["add_to"]

HELP = """Secrets of a server: stored sealed, used by tools and apps that name them, shown to nobody.

\b
  agentkit secret set WEATHER_KEY
  pass show weather | agentkit secret set WEATHER_KEY
  agentkit secret list
"""

Key = Annotated[str, typer.Argument(metavar="KEY", help="Its name: letters, digits and _.")]


def add_to(root: typer.Typer) -> None:
    """Puts the words on the command line."""
    words = group(HELP)
    add(words, "list", list_secrets)
    add(words, "set", set_secret)
    add(words, "delete", delete)
    root.add_typer(words, name="secret")


def list_secrets(limit: Limit = 50, base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Lists the secrets, newest first; of a long value the last four characters."""
    with connect(base_url, api_key) as client:
        found = list(islice(client.secrets.iterate(), limit))
    rows = [(each.key, each.masked_value, each.updated_at, each.description) for each in found]
    columns = ("secret", "value", "updated", "description")
    Screen(as_json).table(columns, rows, records=[each.to_wire() for each in found])


def set_secret(
    key: Key,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Stores a secret, or changes its value: asks for it without echo, or reads it from stdin."""
    value = hidden_value(f"Value of {key}")
    with connect(base_url, api_key) as client:
        stored = client.secrets.set(key, value, description=description)
    screen = Screen(as_json)
    if as_json:
        screen.result(stored.to_wire())
    else:
        screen.say(f"{stored.key} is stored ({stored.masked_value})")


def delete(key: Key, yes: Sure = False, base_url: BaseUrl = None, api_key: ApiKey = None) -> int:
    """Deletes a secret for good. Asks first, at a terminal."""
    if not confirm(f"Delete the secret {key}?", is_sure=yes):
        return FAILED
    with connect(base_url, api_key) as client:
        client.secrets.delete(key)
    Screen().say(f"{key} is deleted")
    return DONE
