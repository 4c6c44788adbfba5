"""Arguments that a person changes before a call is made: with options, from a file, or in an editor; and the diff."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from agentkit.cli.exits import Mistake
from agentkit.cli.inputs import Asked, read_value
from agentkit.cli.question import Line
from agentkit.cli.visible import visible, visible_json
from agentkit.tools.jsonable import is_object

__all__ = ["check_names", "diff", "edited", "has_editor", "in_editor", "parsed"]

LOOKS: Final = {"-": "red", "+": "green", "@": "dim"}
CONTEXT_LINES: Final = 2
_ODD: Final = frozenset(':"\\')  # what would make a name look like something else
TO_STDERR: Final = 2  # stdout may be a pipe that wants the result alone


def edited(
    arguments: Mapping[str, Any], *, sets: Sequence[str] | None, args: str | None, by_editor: bool
) -> dict[str, Any]:
    """The arguments as the options change them: `args` replaces them, `sets` change members, then the editor opens.

    Raises Mistake, which names the option.
    """
    value: Any = dict(arguments)
    if args is not None:
        value = read_value(args if args == "-" or args.startswith(("@", "{", "[")) else f"@{args}", option="--args")
        if not is_object(value):
            raise Mistake("--args: the arguments of a call are a JSON object")
    if sets:
        value = Asked.parse(json.dumps(value), sets=sets, files=None).value
    return in_editor(value) if by_editor else value


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """What was changed, line by line, with nothing hidden in it."""
    old, new = (_readable(each).split("\n") for each in (before, after))
    found = difflib.unified_diff(old, new, "before", "after", n=CONTEXT_LINES, lineterm="")
    return [((visible(line), LOOKS.get(line[:1], "")),) for line in found]


def check_names(before: Mapping[str, Any], after: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
    """Raises Mistake for an argument that is new and that the tool's schema does not name.

    A schema may allow what it does not name; a person who writes such a name has most likely mistyped another one, and
    would approve what was meant to be changed. Arguments that the schema names by a pattern only are taken.
    """
    known: Any = (schema or {}).get("properties")
    if not is_object(known) or schema is None or not {"patternProperties", "additionalProperties"}.isdisjoint(schema):
        return  # what else there may be is said there, and the server checks it
    for name in after:
        if name not in known and name not in before:
            raise Mistake(f"there is no argument {visible(name)!r}; there are {', '.join(map(visible, known))}")


def has_editor() -> bool:
    """Whether the environment names an editor."""
    return bool(_editor())


def in_editor(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Opens the arguments in $VISUAL or $EDITOR; what is saved there. Raises Mistake where that is no JSON object."""
    command = _editor()
    if not command:
        raise Mistake("--edit: there is no editor; set EDITOR, or use --set KEY=VALUE")
    with tempfile.TemporaryDirectory(prefix="agentkit-edit-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "arguments.json"
        path.write_text(visible_json(arguments, indent=2) + "\n", encoding="utf-8")
        with _left_to_the_editor():
            code = _run([*shlex.split(command), str(path)])
        if code:
            raise Mistake(f"--edit: {command} ended with code {code}; nothing was changed")
        return parsed(path.read_text(encoding="utf-8"), what="--edit")


def parsed(text: str, *, what: str) -> dict[str, Any]:
    """The JSON object that the text is. Raises Mistake."""
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise Mistake(f"{what}: this is no JSON: {error}; nothing was changed") from None
    if not is_object(value):
        raise Mistake(f"{what}: the arguments of a call are a JSON object; nothing was changed")
    return value


# -- parts ---------------------------------------------------------------------------------------------------------


def _editor() -> str:
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""


def _run(command: list[str]) -> int:
    try:
        return subprocess.run(command, check=False, stdout=TO_STDERR).returncode
    except OSError as error:
        raise Mistake(f"--edit: {command[0]}: {error.strerror}; set EDITOR to an editor that is there") from None


@contextmanager
def _left_to_the_editor() -> Generator[None]:
    """While entered, Ctrl-C is the editor's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: None)  # not SIG_IGN, which the editor would inherit
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _readable(arguments: Mapping[str, Any]) -> str:
    """JSON whose long texts are on lines of their own, so that a change within them is one changed line."""
    return "\n".join(_lines(arguments, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    for key, each in value.items():
        name = key if key.split() == [key] and not set(key) & _ODD else json.dumps(key, ensure_ascii=False)
        if is_object(each) and each:
            yield f"{indent}{name}:"
            yield from _lines(each, indent + "  ")
        elif isinstance(each, str) and "\n" in each:
            yield f"{indent}{name}:"
            yield from (f"{indent}  │ {line}" for line in each.split("\n"))
        else:
            yield f"{indent}{name}: {json.dumps(each, ensure_ascii=False, default=str)}"
