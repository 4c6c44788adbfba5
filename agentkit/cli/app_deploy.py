"""`agentkit app deploy`: a folder as a new version of an app on a server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, Folder
from agentkit.cli.connection import connect
from agentkit.cli.local_app import read_manifest
from agentkit.cli.screen import Screen
from agentkit.cli.transfers import Tick, bar
from agentkit.client.deploying import Progress

__all__ = ["deploy"]

STEPS: Final = {
    "bundle": "packing",
    "describe": "describing",
    "upload": "uploading",
    "register": "registering",
    "unchanged": "unchanged",
}


def deploy(
    folder: Folder = Path(),
    stage: Annotated[
        bool, typer.Option("--stage", help="Store the version, but leave the current one current.")
    ] = False,
    namespace: Annotated[str | None, typer.Option(help="Whose app. [default: inf.yml's, else your own]")] = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Packs the folder, uploads it and stores it as a version of the app that inf.yml names.

    Nothing is stored where the current version has the same files. What .infignore names is left out.

    \b
    agentkit app deploy
    agentkit app deploy thumbs --stage --json
    agentkit app promote thumbs@k3v9x2ab
    """
    screen = Screen(as_json)
    read_manifest(folder)
    with connect(base_url, api_key) as client:
        steps: list[str] = []
        with _shown(screen, steps) as tell:
            app = client.apps.deploy(folder, stage=stage, namespace=namespace, on_progress=tell)
    is_new = "unchanged" not in steps
    version_id = app.version.id if app.version else ""
    short = app.version.short_id if app.version else ""
    reference = f"{app.namespace}/{app.name}@{short or version_id}"
    is_current = bool(version_id) and app.version_id == version_id
    if as_json:
        told = {"app_id": app.id, "version_id": version_id, "reference": reference}
        screen.result({**told, "is_current": is_current, "is_new": is_new})
        return
    screen.text(f"{reference}\n")
    what = "deployed" if is_new else "unchanged: the current version has these files"
    after = "" if is_current or not is_new else f"; staged: agentkit app promote {reference} makes it current"
    screen.say(f"{what}{after}")


@contextmanager
def _shown(screen: Screen, steps: list[str]) -> Generator[Progress]:
    """Tells of each step once, and draws how far it is."""
    with bar(screen, "uploading") as tick:
        yield _Steps(screen, steps, tick).tell


class _Steps:
    def __init__(self, screen: Screen, steps: list[str], tick: Tick) -> None:
        self._screen = screen
        self._steps = steps
        self._tick = tick

    def tell(self, step: str, done: int, total: int) -> None:
        if step not in self._steps:
            self._steps.append(step)
            if step != "unchanged":
                self._screen.say(f"{STEPS.get(step, step)} ...")
        if step == "upload":  # the others count no bytes
            self._tick(done, total)
