"""The expense desk as its user starts it: a program, a folder to write, and what it leaves there."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.forked import Programs

ROOT = Path(__file__).parents[2]
DOCUMENTS = ROOT / "examples" / "expense_desk" / "documents"
LIMIT_SECONDS = 60  # for one run; it takes about three on a quiet machine
_OF_THE_USER = ("OPENAI_", "OLLAMA_", "AGENTKIT_", "INFERENCE_")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "examples.expense_desk", *arguments]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without keys and settings that choose a model."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_USER)}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **(more or {})}


# A desk that dies between a step and the note of it. The step is the real one.
DYING = """
import os, signal, sys
from examples.expense_desk import __main__ as desk
from examples.expense_desk.{module} import {name}

step, calls = {name}.{method}, 0

def dies(self, *args, **more):
    global calls
    calls += 1
    result = step(self, *args, **more) if "{when}" == "after" else None
    if calls == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **more) if "{when}" == "before" else result

{name}.{method} = dies
sys.exit(desk.main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class DeskFolder:
    """A folder that desks write to, and ways to start one."""

    out: Path
    documents: Path = DOCUMENTS
    environ: Mapping[str, str] = field(default_factory=dict)
    programs: Programs | None = None  # runs them faster

    def arguments(self, *more: str) -> list[str]:
        return command("--out", str(self.out), "--documents", str(self.documents), *more)

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """One start, to its end, without a terminal."""
        if self.programs is not None:
            arguments = self.arguments(*more)[len(command()) :]
            return self.programs.run(
                "examples.expense_desk", *arguments, cwd=ROOT, env=environment(self.environ), seconds=LIMIT_SECONDS
            )
        return subprocess.run(
            self.arguments(*more),
            cwd=ROOT,
            env=environment(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )

    def start(self, *more: str) -> subprocess.Popen[str]:
        """One start, in a process group of its own, its output in a pipe."""
        return subprocess.Popen(
            self.arguments(*more),
            cwd=ROOT,
            env=environment(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def killed_after_lines(self, count: int, *more: str) -> bool:
        """Starts a desk and kills it with SIGKILL when it has written so many lines. False: it ended before."""
        process = self.start(*more)
        assert process.stdout is not None
        try:
            for number, _ in enumerate(process.stdout, 1):
                if number == count:
                    process.send_signal(signal.SIGKILL)
            return process.wait(LIMIT_SECONDS) == -signal.SIGKILL
        finally:
            process.kill()
            process.wait(LIMIT_SECONDS)
            process.stdout.close()

    def die(self, step: str, *, when: str, count: int) -> None:
        """Starts a desk that kills itself before or after the count-th time of a step, `module.Class.method`."""
        module, name, method = step.split(".")
        program = DYING.format(module=module, name=name, method=method, when=when, count=count)
        arguments = [sys.executable, "-W", "error", "-c", program, *self.arguments("--yes")[5:]]
        run = subprocess.run(
            arguments, cwd=ROOT, env=environment(self.environ), capture_output=True, timeout=LIMIT_SECONDS
        )
        assert run.returncode == -signal.SIGKILL, run.stderr

    def lines(self) -> list[dict[str, Any]]:
        """The result file."""
        return [json.loads(line) for line in (self.out / "expenses.jsonl").read_text(encoding="utf-8").splitlines()]

    def outcomes(self) -> dict[str, str]:
        """What came of each document."""
        return {line["document"]: line["outcome"] for line in self.lines()}

    def chats(self) -> set[str]:
        """The chats that were begun, finished or not."""
        return {chat_id for (chat_id,) in self.query("SELECT chat_id FROM entry")}

    def booked(self) -> list[tuple[str, str, str, str]]:
        """What is in the books, in no particular order: document, vendor, currency, amount."""
        return sorted(self.query("SELECT document, vendor, currency, amount FROM booking"))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.out / "expenses.db")) as db:
            return db.execute(sql).fetchall()
