"""`agentkit app init`: a folder that runs at once, to begin with."""

from __future__ import annotations

import re
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer

from agentkit.cli.commands import AsJson
from agentkit.cli.exits import Mistake
from agentkit.cli.screen import Screen

__all__ = ["Template", "init"]

PLACEHOLDER: Final = "APP_NAME"
MANIFEST: Final = "inf.yml"
FALLBACK: Final = "my-app"
_UNFIT: Final = re.compile(r"[^a-z0-9]+")


class Template(StrEnum):
    """What there is to begin with: a folder of `templates` each."""

    echo = "echo"
    files = "files"
    stream = "stream"
    multi = "multi"


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it; made if needed.")] = Path(),
    template: Annotated[
        Template,
        typer.Option(
            help="echo: one function. files: takes and makes files. stream: output that grows. multi: more functions."
        ),
    ] = Template.echo,
    name: Annotated[str | None, typer.Option(help="The app's name. [default: that of the folder]")] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a new app: inf.yml, inference.py, requirements.txt and samples. Never overwrites a file.

    \b
    agentkit app init hello
    agentkit app init --template files --name word-count word_count
    """
    screen = Screen(as_json)
    slug = _slug(name) if name else _slug(folder.resolve().name) or FALLBACK
    if name and slug != name:
        raise Mistake(f"--name {name!r}: a name has lower-case letters, digits and dashes; take {slug or FALLBACK!r}")
    found = [each for each in _source(template).iterdir() if each.is_file()]
    _check_free(folder, [each.name for each in found])
    folder.mkdir(parents=True, exist_ok=True)
    written = [_write(each, folder, slug) for each in sorted(found, key=lambda each: each.name)]
    if as_json:
        screen.result({"folder": str(folder), "name": slug, "files": [path.name for path in written]})
        return
    for path in written:
        screen.text(f"{path}\n")
    where = "" if folder == Path() else f" {folder}"
    screen.say(f"Try it:  agentkit app run{where}")


def _source(template: Template) -> Traversable:
    return resources.files("agentkit.cli.templates") / template.value


def _check_free(folder: Path, names: list[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise Mistake(f"{str(folder)!r} is a file; name a folder")
    if taken := sorted(name for name in names if (folder / name).exists()):
        raise Mistake(f"{', '.join(str(folder / name) for name in taken)}: there already; nothing was written")


def _write(source: Traversable, folder: Path, name: str) -> Path:
    path = folder / source.name
    text = source.read_text(encoding="utf-8")
    with path.open("x", encoding="utf-8", newline="\n") as file:  # never over what came in between
        file.write(text.replace(PLACEHOLDER, name) if source.name == MANIFEST else text)
    return path


def _slug(text: str) -> str:
    return _UNFIT.sub("-", text.lower()).strip("-")
