"""What a task is given on the command line: `--input`, `--set` and `--file` make one value.

>>> asked = Asked.parse(None, sets=["text=hi", "size.width=3"], files=["image=cat.png"])
>>> asked.value, [(file.key, str(file.path)) for file in asked.files]
({'text': 'hi', 'size': {'width': 3}}, [('image', 'cat.png')])
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self, cast

import typer

from agentkit.cli.exits import Mistake

__all__ = ["Asked", "FileOption", "FileValue", "InputOption", "SetOption", "SetupOption", "placed", "read_value"]

InputOption = Annotated[
    str | None, typer.Option("--input", "-i", metavar="JSON|@FILE|-", help="The input: JSON, a file of it, or stdin.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="One member of the input; JSON, else text. a.b=1 goes into a."
    ),
]
FileOption = Annotated[
    list[str] | None, typer.Option("--file", "-f", metavar="KEY=PATH", help="A file of the input; it is uploaded.")
]
SetupOption = Annotated[
    str | None, typer.Option("--setup", metavar="JSON|@FILE|-", help="What the app is set up with.")
]


@dataclass(frozen=True, slots=True)
class FileValue:
    """A file that belongs at `key` of the input."""

    key: str
    path: Path


@dataclass(frozen=True, slots=True)
class Asked:
    """An input, and the files that have yet to be put into it."""

    value: Any = None
    files: Sequence[FileValue] = ()
    is_given: bool = field(default=True)

    @classmethod
    def parse(cls, input: str | None, *, sets: Sequence[str] | None, files: Sequence[str] | None) -> Self:
        """The input of these options. Raises Mistake, which names the option."""
        value: Any = {} if input is None else read_value(input, option="--input")
        for entry in sets or ():
            key, text = _pair(entry, option="--set")
            value = placed(value, key, _json_or_text(text), option="--set")
        named = [FileValue(key, Path(path)) for key, path in (_pair(each, option="--file") for each in files or ())]
        for each in named:
            if not each.path.is_file():
                raise Mistake(f"--file {each.key}={each.path}: there is no such file")
        return cls(value, named, is_given=input is not None or bool(sets or files))

    def filled(self, upload: Callable[[FileValue], Any]) -> Any:
        """The whole value; `upload` returns what stands for a file."""
        value = self.value
        for each in self.files:
            value = placed(value, each.key, upload(each), option="--file")
        return value


def read_value(text: str, *, option: str) -> Any:
    """The JSON that `text` is, names with `@`, or sends for with `-`. Raises Mistake."""
    source, where = text, option
    if text == "-":
        source, where = sys.stdin.read(), f"{option} -"
    elif text.startswith("@"):
        source, where = _text_of(text[1:], option=option), f"{option} {text}"
    try:
        return json.loads(source)
    except ValueError as error:
        hint = "" if where != option else f'; write it as {option} \'{{"key": "value"}}\', or {option} @file.json'
        raise Mistake(f"{where}: this is no JSON: {error}{hint}") from None


def placed(value: Any, key: str, item: Any, *, option: str) -> Any:
    """A copy of the value with the item at a key such as `size.width`. Raises Mistake."""
    first, dot, rest = key.partition(".")
    if not isinstance(value, Mapping):
        raise Mistake(f"{option} {key}: the input is no object there, and has no members")
    members = cast("Mapping[str, Any]", value)
    inner = placed(members.get(first, {}), rest, item, option=option) if dot else item
    return {**members, first: inner}


def _text_of(path: str, *, option: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Mistake(f"{option} @{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Mistake(
            f"{option} @{path}: it is not UTF-8 text; use --file KEY={path} to send the file itself"
        ) from None


def _pair(entry: str, *, option: str) -> tuple[str, str]:
    key, equals, text = entry.partition("=")
    if not equals or not key or "" in key.split("."):
        raise Mistake(f"{option} {entry!r}: write it as KEY=VALUE")
    return key, text


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
