"""A program at a pseudo-terminal: what it writes, and what a person types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STEP_SECONDS = 0.05


class Terminal:
    """The keyboard and the screen of one process."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.screen = ""
        self._master = master
        self._seen = 0

    def wait_for(self, text: str, *, seconds: float = 60) -> None:
        """Waits until the text is on the screen, behind what was waited for before."""
        until = time.monotonic() + seconds
        while (at := self.screen.find(text, self._seen)) < 0:
            assert time.monotonic() < until and self._goes_on(), f"{text!r} did not come; the screen:\n{self.screen}"
        self._seen = at + len(text)

    def type(self, keys: str) -> None:
        """Types; `\\r` is Enter, `\\x03` Ctrl-C, `\\x04` Ctrl-D."""
        os.write(self._master, keys.encode())

    def end(self, *, seconds: float = 60) -> int:
        """Waits for the end of the process; its exit status."""
        until = time.monotonic() + seconds
        while self._goes_on():
            assert time.monotonic() < until, f"it did not end; the screen:\n{self.screen}"
        return self.process.wait()

    def _goes_on(self) -> bool:
        """Reads what there is, or waits a moment for more. False: the process is over, and all is read."""
        is_over = self.process.poll() is not None
        ready, _, _ = select.select([self._master], [], [], 0 if is_over else STEP_SECONDS)
        if ready:
            self.screen += os.read(self._master, 65536).decode(errors="replace")
        return bool(ready) or not is_over


# The child leads a session of its own: the first terminal it opens becomes the one that Ctrl-C comes from.
ADOPT = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(terminal, number)
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def at_a_terminal(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[Terminal]:
    """Starts the program with a terminal of its own; both are gone afterwards."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ADOPT, os.ttyname(slave), *arguments], cwd=cwd, env=dict(env), start_new_session=True
    )
    try:
        terminal = Terminal(process, master)
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)
