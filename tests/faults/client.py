"""A client that is killed in the middle of its turn: `python -m tests.faults.client URL LEDGER SCRIPT [TOOL]`.

It says each event as a line (`chat_id kind name`), and hangs in the handler of TOOL.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agentkit import Inference
from tests.faults.desk import QUESTION, agent
from tests.faults.play import Ledger, patient

__all__ = ["started"]


def main(url: str, ledger: str, script: str, hangs_in: str = "") -> None:
    """Sends the question, and tells what happens."""

    def hang(name: str) -> None:
        if name == hangs_in:
            threading.Event().wait()

    tools = Ledger(Path(ledger)).tools(then=hang)
    with Inference(config=patient(url)) as client:
        for event in client.agent({**agent(script), "tools": tools}).stream(QUESTION):
            invocation = getattr(event, "invocation", None)
            print(event.chat_id or "-", event.kind, invocation.function.name if invocation else "-", flush=True)


@contextmanager
def started(*args: object) -> Generator[subprocess.Popen[str]]:
    """The client in a process of its own, killed at the latest when the block is left."""
    command = [sys.executable, "-m", "tests.faults.client", *map(str, args)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
