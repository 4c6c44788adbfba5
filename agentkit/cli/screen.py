"""What a command says: results on stdout, words to a person on stderr.

With `--json` stdout carries JSON and nothing else. What is no terminal gets plain lines and tabs. Colours are off
there, and with NO_COLOR.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from agentkit.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Screen", "is_interactive", "printable"]

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """The text without what a terminal would obey: escape sequences and control characters, tabs and newlines apart.

    >>> printable("\\x1b[31mred\\x1b[0m\\a")
    'red'
    """
    return _CONTROL.sub("", text)


def is_interactive(stream: Any) -> bool:
    """Whether a person looks at this stream through a terminal that can do more than print lines."""
    return bool(stream.isatty()) and os.environ.get("TERM", "") not in ("", "dumb")


@dataclass(frozen=True)
class Screen:
    """Where one command writes."""

    is_json: bool = False

    @cached_property
    def is_live(self) -> bool:
        """Whether stderr can be drawn on again and again."""
        return is_interactive(sys.stderr)

    @cached_property
    def out(self) -> Console:
        """Stdout at a terminal."""
        return _console(is_error=False)

    @cached_property
    def error(self) -> Console:
        """Stderr at a terminal."""
        return _console(is_error=True)

    def say(self, text: str) -> None:
        """A line for a person."""
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()

    def result(self, value: Any) -> None:
        """What the command was for, as one JSON document."""
        if is_interactive(sys.stdout) and not self.is_json:
            self.out.print_json(json.dumps(value, default=str), indent=2)
        else:
            self._write(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def line(self, value: Any) -> None:
        """One of many results, as a line of JSON."""
        self._write(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))

    def text(self, text: str) -> None:
        """What the command was for, as text; what came from elsewhere is made printable at a terminal."""
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, records: Sequence[Any]) -> None:
        """Rows for a person, lines with tabs for a pipe, and with `--json` the `records` they were made of."""
        if self.is_json:
            self.result(list(records))
            return
        cells = [[_cell(each) for each in row] for row in rows]
        if is_interactive(sys.stdout):
            self.out.print(_drawn(columns, cells))
        else:
            for row in cells:
                self._write("\t".join(row))

    def _write(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _console(*, is_error: bool) -> Console:
    try:
        from rich.console import Console  # an extra
    except ImportError:
        raise MissingExtraError("the agentkit command", extra="cli") from None
    return Console(stderr=is_error, highlight=False, emoji=False)


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    from rich.table import Table  # an extra; the console is there already
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(each) for each in row))
    return table


def _cell(value: Any) -> str:
    return "" if value is None else printable(str(value)).replace("\t", " ").replace("\n", " ")
