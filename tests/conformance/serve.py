"""`agentkit serve` as a process of its own, with a key file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Serving", "serving"]

STOP_SECONDS = 10


@dataclass(frozen=True)
class Serving:
    """A running `agentkit serve`."""

    url: str
    key: str


@contextmanager
def serving(folder: Path, *options: str, asks_for_key: bool = True) -> Generator[Serving]:
    """The command while it runs, on a free port, with these options; everything it keeps is in the folder."""
    arguments = ["--port", "0", "--json", "--db", str(folder / "agentkit.db"), *options]
    key = folder / "key"
    if asks_for_key:
        arguments += ["--api-key-file", str(key)]
    command = [sys.executable, "-m", "agentkit", "serve", *arguments]
    with subprocess.Popen(
        command, env={"PATH": os.environ["PATH"]}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout and process.stderr
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield Serving(json.loads(line)["url"], key.read_text(encoding="utf-8").strip() if asks_for_key else "")
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0, process.stderr.read()
        finally:
            process.kill()
