"""What happens, on the terminal, while it happens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TextIO

from agentkit import Fault, OutputPartial, TextDelta, ToolFinished, ToolStarted, TurnEvent

WIDTH = 110
INDENT = " " * 8


class Progress:
    """Writes lines; on a terminal also a last line that changes, and colours unless NO_COLOR is set."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._is_terminal = out.isatty()
        self._colours = self._is_terminal and not os.environ.get("NO_COLOR")

    def document(self, number: int, count: int, name: str) -> None:
        """The next document."""
        self._line(self._painted(f"[{number:>2}/{count}] {name}", "1"))

    def tell(self, event: TurnEvent) -> None:
        """Something that happens to it."""
        match event:
            case TextDelta():
                self._live(event.snapshot)
            case OutputPartial():
                self._live("fills in " + ", ".join(event.partial))
            case ToolStarted():
                self._live(f"runs {event.invocation.function.name}")
            case ToolFinished() if event.invocation.function.name != "finish":
                call = event.invocation
                self._line(f"{INDENT}{call.function.name}({_brief(call.function.arguments)})")
                self._line(self._painted(f"{INDENT}  -> {call.result}", "2"))
            case Fault():
                self._line(self._painted(f"{INDENT}{event.error}", "33"))
            case _:
                pass

    def outcome(self, outcome: str, detail: str) -> None:
        """What came of it."""
        colour = {"booked": "32", "no expense": "2", "empty": "2"}.get(outcome, "33")
        self._line(INDENT + self._painted(outcome, colour) + (f": {detail}" if detail else ""))

    def _line(self, text: str) -> None:
        self._live("")
        print(text, file=self.out, flush=True)

    def _live(self, text: str) -> None:
        """Shows it in the last line until something else is shown; a file gets none of it."""
        if self._is_terminal:
            self.out.write(f"\r\x1b[K{(INDENT + ' '.join(text.split()))[:WIDTH] if text else ''}")
            self.out.flush()

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def _brief(arguments: Mapping[str, Any] | Any) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in dict(arguments).items())
