"""Programs in processes of their own without the seconds of imports: forks of one interpreter that has imported us.

In the thorough run every program has an interpreter of its own.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
READY_SECONDS = 15.0

# The child leaves the loop and runs the module as `python -m` does; its end is the regular end of an interpreter.
PARENT = """
import gc, importlib, json, os, sys
from runpy import _run_module_as_main
import agentkit.cli.main, agentkit.runtime.open, agentkit.testing
from pydantic import BaseModel

def below(kind):
    return {each for sub in kind.__subclasses__() for each in (sub, *below(sub))}

for model in below(BaseModel):
    model.model_rebuild()  # or each fork would build those that it meets
gc.collect()
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
else:
    sys.exit()
job = json.loads(line)
for number, path in enumerate((os.devnull, job["out"], job["err"])):
    opened = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
    os.dup2(opened, number)
    os.close(opened)
os.chdir(job["cwd"])
os.environ.clear()
os.environ.update(job["env"])
sys.path[0] = job["cwd"]
importlib.invalidate_caches()
sys.argv = ["", *job["arguments"]]

def start(names, run, module):  # what is defined here is nothing that the program may find
    for name in [each for each in names if not each.startswith("__")]:
        del names[name]
    run(module)

start(globals(), _run_module_as_main, job["module"])
"""


class Programs:
    """Runs modules like `python -W error -m`, one after the other."""

    def __init__(self, *, forks: bool) -> None:
        self._forks = forks
        self._parent: subprocess.Popen[str] | None = None

    def __enter__(self) -> Programs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(
        self, module: str, *arguments: str, cwd: Path, env: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """The finished program, which finds modules in `cwd` and in this repository, and nothing on stdin."""
        if not self._forks:
            return subprocess.run(
                [sys.executable, "-W", "error", "-m", module, *arguments], cwd=cwd,
                env={**env, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=seconds, check=False,
            )  # fmt: skip
        with _text_file() as out, _text_file() as errors:
            job = {
                "module": module, "arguments": arguments, "cwd": str(cwd),
                "env": {**env, "PYTHONPATH": str(ROOT)}, "out": out.name, "err": errors.name,
            }  # fmt: skip
            code = self._ask(json.dumps(job), seconds)
            return subprocess.CompletedProcess([module, *arguments], code, out.read(), errors.read())

    def _ask(self, job: str, seconds: float) -> int:
        try:
            if self._parent is None:
                self._parent = _start()
                assert self._answer(READY_SECONDS) == "ready"
            assert self._parent.stdin is not None
            self._parent.stdin.write(f"{job}\n")
            self._parent.stdin.flush()
            return int(self._answer(seconds))
        except BaseException:  # an answer that nobody took would be taken for the next program's
            self._end()
            raise

    def _answer(self, seconds: float) -> str:
        assert self._parent is not None and self._parent.stdout is not None
        ready, _, _ = select.select([self._parent.stdout], [], [], seconds)
        if not ready:
            raise TimeoutError(f"the program did not end within {seconds} s")
        line = self._parent.stdout.readline().strip()
        assert line, "the interpreter that the programs are forks of has ended"
        return line

    def _end(self) -> None:
        if self._parent is not None:
            os.killpg(self._parent.pid, signal.SIGKILL)  # a program that hangs too
            self._parent.communicate()
            self._parent = None


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Iterator[Programs]:
    """The programs of a test; for the `conftest.py` of a folder."""
    with Programs(forks=not request.config.getoption("--thorough")) as runs:
        yield runs


# -- parts ---------------------------------------------------------------------------------------------------------


def _text_file() -> AbstractContextManager[Any]:
    return tempfile.NamedTemporaryFile("r", encoding="utf-8")


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PARENT], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
