"""A dialogue with the person at the keyboard: held alone, or while something may come in between."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import Any, TypeVar

import anyio

from agentkit.cli.dialogue import Edit, Prompt, Say, Step
from agentkit.cli.edits import in_editor
from agentkit.cli.exits import Mistake
from agentkit.cli.question import show
from agentkit.cli.screen import Screen

__all__ = ["Keyboard", "held"]

R = TypeVar("R")


def held(dialogue: Generator[Step, Any, R], screen: Screen) -> R:
    """Holds the dialogue to its end; waits for each line."""
    typed: Any = None
    while True:
        try:
            step = dialogue.send(typed)
        except StopIteration as end:
            result: R = end.value
            return result
        if isinstance(step, Prompt):
            _ask(step)
            typed = sys.stdin.readline() or None
        else:
            typed = _done(step, screen)


class Keyboard:
    """Stdin line by line, in a way that can be cancelled. Only for a terminal: it hands out whole lines."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._file = sys.stdin.fileno()
        self._rest = b""

    async def hold(self, dialogue: Generator[Step, Any, R]) -> R:
        """Holds the dialogue to its end, unless it is cancelled."""
        typed: Any = None
        while True:
            try:
                step = dialogue.send(typed)
            except StopIteration as end:
                result: R = end.value
                return result
            if isinstance(step, Prompt):
                _ask(step)
                typed = await self.line()
            else:
                typed = _done(step, self._screen)
                await anyio.lowlevel.checkpoint()

    async def line(self) -> str | None:
        """The next line; None at the end of the input."""
        while b"\n" not in self._rest:
            await anyio.wait_readable(self._file)
            more = os.read(self._file, 65_536)
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace") + "\n"

    def forget(self) -> None:
        """Drops what was typed already: it was meant for what was on the screen before."""
        import termios  # not on every system; where it is missing, there is no terminal to wait on either

        self._rest = b""
        termios.tcflush(self._file, termios.TCIFLUSH)


# -- parts ---------------------------------------------------------------------------------------------------------


def _ask(step: Prompt) -> None:
    sys.stderr.write(step.text)
    sys.stderr.flush()


def _done(step: Say | Edit, screen: Screen) -> Any:
    """What the dialogue is sent: the edited arguments, None where there are none."""
    if isinstance(step, Say):
        show(screen, step.lines, is_error=True)
        return None
    try:
        return in_editor(step.arguments)
    except Mistake as error:
        screen.say(str(error))
        return None
