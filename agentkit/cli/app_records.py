"""`agentkit app list | get | versions | promote | delete`: the apps of a server."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, Limit, Sure, confirm
from agentkit.cli.connection import connect
from agentkit.cli.exits import DONE, FAILED, Mistake
from agentkit.cli.screen import Screen
from agentkit.protocol.refs import Reference
from agentkit.wire import App, AppVersion

__all__ = ["Ref", "delete", "get", "list_apps", "promote", "versions"]

Ref = Annotated[str, typer.Argument(metavar="REF", help="namespace/name, a bare name of your own, or an id.")]


def list_apps(
    search: Annotated[str | None, typer.Option(help="Text in name or description.")] = None,
    limit: Limit = 50,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Lists your apps, newest first."""
    with connect(base_url, api_key) as client:
        apps = list(islice(client.apps.iterate(search=search), limit))
    rows = [(_name(app), app.version_id[:8], app.visibility, app.updated_at, app.description) for app in apps]
    columns = ("app", "current", "visibility", "updated", "description")
    Screen(as_json).table(columns, rows, records=[app.to_wire() for app in apps])


def get(ref: Ref, base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Shows an app: its current version, or that of REF, its functions, and what it needs."""
    with connect(base_url, api_key) as client:
        app = client.apps.get(ref)
    screen = Screen(as_json)
    if as_json:
        screen.result(app.to_wire())
        return
    screen.text("".join(f"{name:13}{value}\n" for name, value in _told(app) if value))


def versions(
    ref: Ref, limit: Limit = 50, base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Lists the versions of an app, newest first; the current one has a star."""
    with connect(base_url, api_key) as client:
        app = client.apps.get(str(_unversioned(ref)))
        page = client.apps.versions(app.id, limit=limit)
    rows = [
        ("*" if each.id == app.version_id else "", each.short_id, each.created_at, _of(each)) for each in page.items
    ]
    records = [{**each.to_wire(), "is_current": each.id == app.version_id} for each in page.items]
    Screen(as_json).table(("", "version", "created", "functions"), rows, records=records)


def promote(
    ref: Annotated[str, typer.Argument(metavar="REF@VERSION", help="Which version, as `app versions` lists it.")],
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Makes a version the one that runs where a reference names none; an older one takes a deploy back.

    \b
    agentkit app promote thumbs@k3v9x2ab
    """
    version = Reference.parse(ref).version
    if version is None:
        raise Mistake(
            f"{ref!r} names no version; write it as {ref.partition('@')[0]}@VERSION, see agentkit app versions"
        )
    with connect(base_url, api_key) as client:
        app = client.apps.set_current(str(_unversioned(ref)), version)
    screen = Screen(as_json)
    if as_json:
        screen.result(app.to_wire())
    else:
        screen.say(f"{_name(app)}: {app.version.short_id if app.version else app.version_id} is current")


def delete(ref: Ref, yes: Sure = False, base_url: BaseUrl = None, api_key: ApiKey = None) -> int:
    """Deletes an app with all its versions; its tasks stay. Asks first, at a terminal."""
    if Reference.parse(ref).version is not None:
        raise Mistake(f"{ref!r}: an app is deleted with all its versions; leave out the @")
    if not confirm(f"Delete {ref} and all its versions?", is_sure=yes):
        return FAILED
    with connect(base_url, api_key) as client:
        client.apps.delete(ref)
    Screen().say(f"{ref} is deleted")
    return DONE


def _unversioned(ref: str) -> str:
    parsed = Reference.parse(ref)
    return f"{parsed.namespace}/{parsed.name}" if parsed.namespace else parsed.name


def _name(app: App) -> str:
    return f"{app.namespace}/{app.name}"


def _of(version: AppVersion) -> str:
    return ", ".join(version.functions)


def _told(app: App) -> list[tuple[str, str]]:
    version = app.version
    about = [
        ("app", _name(app)),
        ("id", app.id),
        ("description", app.description),
        ("visibility", str(app.visibility)),
        ("version", app.version_id),
    ]
    if version is None:
        return about
    functions = [("function", f"{name}  {each.description or ''}") for name, each in version.functions.items()]
    needs = [("secret", f"{each.key}{' (optional)' if each.optional else ''}") for each in version.required_secrets]
    return [*about, ("kernel", version.kernel), *functions, *needs]
