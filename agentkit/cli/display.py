"""A task as a person sees it go by: drawn at a terminal, plain lines elsewhere, lines of JSON with `--json`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from agentkit.cli.logs import Growing
from agentkit.cli.screen import Screen, printable
from agentkit.protocol.lines import is_object
from agentkit.wire import Task, TaskStatus, is_terminal_status

if TYPE_CHECKING:
    from rich.live import Live
    from rich.spinner import Spinner

__all__ = ["Display", "display_of", "one_line", "status_name"]

OUTPUT_LINES: Final = 6  # of a partial output
SHOWN_STATUSES: Final = 3  # before the present one
SHORTEST_GAP_SECONDS: Final = 0.5  # between two plain lines of partial output
FRAMES_PER_SECOND: Final = 10

Clock = Callable[[], float]


class Display(Protocol):
    """Follows one task."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def tell(self, task: Task) -> None:
        """The task as it is now."""
        ...

    def stopping(self) -> None:
        """Somebody asked for its end; called from a signal handler, so it only takes note."""
        ...


def display_of(screen: Screen, *, is_stream: bool = False, clock: Clock = time.monotonic) -> Display:
    """What suits the screen. With `--json` a line per update where `is_stream`, else nothing."""
    if screen.is_json:
        return Lines(screen) if is_stream else Silent()
    return Drawn(screen, clock) if screen.is_live else Plain(screen, clock)


def status_name(status: TaskStatus | int | str) -> str:
    """A status in words: `setting up`."""
    name = status.name if isinstance(status, TaskStatus) else str(status)
    return name.lower().replace("_", " ")


def one_line(value: Any, *, width: int = 100) -> str:
    """A value as one line; of a long one, what changed last: its end."""
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= width else f"…{text[-width:]}"


class Silent:
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def tell(self, task: Task) -> None:
        """Nothing."""

    def stopping(self) -> None:
        """Nothing."""


class Lines(Silent):
    """Each update as a line of JSON."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def tell(self, task: Task) -> None:
        """A line."""
        self._screen.line(task.to_wire())


class _Following:
    """What is new in each update."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock()
        self.logs = Growing()
        self._status: TaskStatus | int | str | None = None
        self._told: set[str] = set()
        self._output: Any = None

    @property
    def seconds(self) -> float:
        return self._clock() - self._began

    def passed(self, task: Task) -> list[str]:
        """The statuses that the task went through since it was looked at last."""
        names = [f"{event.id or place}:{status_name(event.status)}" for place, event in enumerate(task.events)]
        fresh = [each for each in names if each not in self._told]
        self._told.update(fresh)
        found = [each.partition(":")[2] for each in fresh]
        if task.status != self._status and (not found or found[-1] != status_name(task.status)):
            found.append(status_name(task.status))
        self._status = task.status
        return found

    def has_new_output(self, task: Task) -> bool:
        if task.output in (None, {}, self._output) or is_terminal_status(task.status):
            return False
        self._output = task.output
        return True


class Plain(Silent):
    """A line for every status and every line of the log, and now and then one for the output."""

    def __init__(self, screen: Screen, clock: Clock) -> None:
        self._screen = screen
        self._now = _Following(clock)
        self._next_output = 0.0

    def tell(self, task: Task) -> None:
        """What is new."""
        for name in self._now.passed(task):
            self._screen.say(f"{self._now.seconds:6.1f}s  {name}")
        for label, text in self._now.logs.new(task.logs):
            for line in text.splitlines():
                self._screen.say(f"         {label + ': ' if label else ''}{line}")
        if self._now.seconds >= self._next_output and self._now.has_new_output(task):
            self._next_output = self._now.seconds + SHORTEST_GAP_SECONDS
            self._screen.say(f"{self._now.seconds:6.1f}s  output {one_line(task.output)}")


class Drawn(Silent):
    """A spinner with the statuses so far and the time; logs scroll by above, the newest output grows below."""

    def __init__(self, screen: Screen, clock: Clock) -> None:
        self._screen = screen
        self._now = _Following(clock)
        self._path: list[str] = []
        self._tail = ""
        self._is_stopping = False
        self._is_over = False
        self._live: Live | None = None
        self._spinner: Spinner | None = None

    def __enter__(self) -> Self:
        from rich.live import Live  # an extra; the console says so where it is missing
        from rich.spinner import Spinner

        console = self._screen.error
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console, get_renderable=self._picture, transient=True, refresh_per_second=FRAMES_PER_SECOND
        )
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            with suppress(BrokenPipeError, OSError):  # the terminal is gone: nothing to tidy up there
                self._live.stop()
        if self._is_over:
            self._screen.say(f"{self._path[-1]} in {self._now.seconds:.1f} s")

    def tell(self, task: Task) -> None:
        """What is new."""
        from rich.text import Text

        self._path += self._now.passed(task)
        for label, text in self._now.logs.new(task.logs):
            for line in text.splitlines():
                shown = Text(f"{label}: " if label else "", "dim")
                self._screen.error.print(shown + Text(printable(line)))
        if self._now.has_new_output(task):
            self._tail = _readable(task.output)
        if is_terminal_status(task.status):
            self._tail = ""
            self._is_over = True

    def stopping(self) -> None:
        """Says so with the next picture."""
        self._is_stopping = True

    def _picture(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        *before, now = self._path or ["sending"]
        before = ["…", *before[-SHOWN_STATUSES:]] if len(before) > SHOWN_STATUSES else before
        line = Text.assemble(*((f"{name} › ", "dim") for name in before), (now, "bold"), f"  {self._now.seconds:.1f}s")
        if self._spinner is not None:
            self._spinner.update(text=line)
        tail = [Text(each, "cyan", no_wrap=True, overflow="ellipsis") for each in self._tail.splitlines()]
        hint = [Text("  asked to cancel; Ctrl-C again leaves at once", "yellow")] if self._is_stopping else []
        return Group(self._spinner or line, *tail[-OUTPUT_LINES:], *hint)


def _readable(output: Any) -> str:
    """An output for reading: the text of one that is a text, else its JSON."""
    if is_object(output):
        output = {name: value for name, value in output.items() if value is not None}
        if len(output) == 1 and isinstance(text := next(iter(output.values())), str):
            return printable(text)
    return printable(json.dumps(output, indent=2, ensure_ascii=False, default=str))
