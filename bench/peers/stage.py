"""What every library's program shares: its steps, and the ledger that tells how often the tool ran.

    python -m bench.peers.with_NAME STEP FOLDER

`ask` runs the agent up to the pending approval and saves what the library gives to save; `resume` loads that, approves
and runs on; `die` does the same, and its tool kills the process when the payment is made. Only the standard library is
used here: this runs inside the libraries' own environments.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["AMOUNT", "DONE", "QUESTION", "Stage", "play"]

QUESTION: Final = "Pay the invoice."
AMOUNT: Final = "10 EUR"
DONE: Final = "It is paid."


class Stage:
    """Where one experiment lies: the library's own state, and the ledger."""

    def __init__(self, folder: Path, *, dies: bool) -> None:
        self.folder = folder
        self._dies = dies

    def pay(self, amount: str) -> str:
        """The tool: one line in the ledger, durable when it returns."""
        file = os.open(self.folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, f"{amount}\n".encode())
        os.fsync(file)
        os.close(file)
        if self._dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"paid {amount}"

    def ready(self) -> None:
        """Everything is loaded: waits for the word to go on, so that two can do it at once."""
        print("ready", flush=True)
        sys.stdin.readline()


def play(library: str, version: str, steps: Mapping[str, Callable[[Stage], str]]) -> None:
    """Does the step that the command line names; prints what came of it as the last line."""
    step, folder = sys.argv[1:]
    stage = Stage(Path(folder), dies=step == "die")
    try:
        said = steps["resume" if step == "die" else step](stage)
        found = {"said": said}
    except Exception as error:  # a refusal is a result
        found = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps({"library": library, "version": version, **found}), flush=True)
