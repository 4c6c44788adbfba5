"""The command as a person or a script runs it: a process, its output, its exit code, and what it leaves behind."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from agentkit.cli.main import main
from tests.examples.terminal import Terminal, at_a_terminal

ROOT = Path(__file__).parents[2]
OURS = ("AGENTKIT_", "OPENAI_", "OLLAMA_", "INFERENCE_", "NO_COLOR", "FORCE_COLOR", "TERM")
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
ENDS_SECONDS = 60.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "agentkit", *arguments]


@dataclass(frozen=True)
class Console:
    """A folder to work in, with a folder for temporary files and a home of its own."""

    folder: Path
    environ: Mapping[str, str]

    @classmethod
    def at(cls, folder: Path, **environ: str) -> Console:
        for name in ("tmp", "home"):
            (folder / name).mkdir(exist_ok=True)
        work = folder / "work"
        work.mkdir(exist_ok=True)
        own = {
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "home" / ".cache"),
            "PYTHONPATH": str(ROOT),
        }
        return cls(work, {**ENVIRON, **own, **environ})

    def with_(self, **environ: str) -> Console:
        return Console(self.folder, {**self.environ, **environ})

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The finished command; for those that are meant to end by themselves."""
        return subprocess.run(
            command(*arguments), input=stdin, capture_output=True, text=True, timeout=ENDS_SECONDS, cwd=self.folder,
            env=dict(self.environ), check=False,
        )  # fmt: skip

    def quick(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The same in this process, which saves a second of imports; for what needs no process of its own."""
        out, errors = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, dict(self.environ), clear=True),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            mock.patch.object(tempfile, "tempdir", None),  # what it took from this process's TMPDIR
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(errors),
        ):
            code = code_of(*arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """What a command that must go well wrote to stdout."""
        done = self.quick(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """The document that it wrote."""
        return json.loads(self.ok(*arguments, "--json", stdin=stdin))

    @contextmanager
    def start(self, *arguments: str) -> Generator[subprocess.Popen[str]]:
        """The command, running; killed at the end if it still does."""
        process = subprocess.Popen(
            command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=self.folder, env=dict(self.environ),
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def serving(self, *arguments: str) -> Generator[Console]:
        """A server beside it; the console's commands then go there."""
        with self.start("serve", "--port", "0", "--json", "--workers", "2", *arguments) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            try:
                yield self.with_(AGENTKIT_BASE_URL=json.loads(line)["url"])
            finally:
                process.terminate()
                process.communicate(timeout=ENDS_SECONDS)

    def terminal(self, *arguments: str, **environ: str) -> AbstractContextManager[Terminal]:
        """The command at a terminal with colours."""
        env = {**self.environ, "TERM": "xterm-256color", **environ}
        return at_a_terminal([sys.executable, "-m", "agentkit", *arguments], cwd=self.folder, env=env)

    def processes(self) -> list[str]:
        """The command lines of all processes that have to do with this folder."""
        found: list[str] = []
        for each in Path("/proc").iterdir():
            if each.name.isdecimal() and int(each.name) != os.getpid():
                try:
                    line = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    environ = (each / "environ").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if line and (str(self.folder.parent) in line or f"TMPDIR={self.folder.parent}" in environ):
                    found.append(line)
        return found

    def wait_until_nothing_is_left(self, *, seconds: float = 15) -> None:
        """Waits for the end of all processes, and looks for what they left on disk."""
        until = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < until, f"these still run: {left}"
            time.sleep(0.05)

    @property
    def temporary_files(self) -> list[str]:
        return sorted(path.name for path in (self.folder.parent / "tmp").iterdir())

    def app(self, name: str, code: str, *, manifest: str = "", **files: str) -> str:
        """Writes an app folder; its name."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "inf.yml").write_text(f"name: {name}\n{manifest}")
        (folder / "inference.py").write_text(code)
        for file, text in files.items():
            (folder / file).write_text(text)
        return name


def code_of(*arguments: str) -> int:
    """The exit code of a command that runs in this process: for those that do not get far."""
    try:
        main(arguments)
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
    raise AssertionError("main() always exits")


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    """Reads stderr up to a line with this text."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} did not come:\n{read}")


SLOW = """
import asyncio
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput

class AppInput(BaseAppInput):
    seconds: float = 60
    text: str = "done"

class AppOutput(BaseAppOutput):
    text: str

class App(BaseApp):
    async def run(self, input_data: AppInput) -> AppOutput:
        print("working", flush=True)
        await asyncio.sleep(input_data.seconds)
        return AppOutput(text=input_data.text)
"""

ECHO = """
import os
from pathlib import Path
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, File

class AppInput(BaseAppInput):
    text: str
    size: dict = {}
    document: File | None = None

class AppOutput(BaseAppOutput):
    text: str
    size: dict
    words: int = 0
    secret: str = ""

class App(BaseApp):
    async def run(self, input_data: AppInput) -> AppOutput:
        print("to the log")
        words = len(Path(input_data.document.path).read_text().split()) if input_data.document else 0
        secret = os.environ.get("TOKEN", "") + os.environ.get("OTHER", "")
        return AppOutput(text=input_data.text, size=input_data.size, words=words, secret=secret)

    async def broken(self, input_data: AppInput) -> AppOutput:
        print("about to fail")
        raise ValueError("bad size")
"""
