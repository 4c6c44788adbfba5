"""Apps for the fleet's tests: one that does what it is told, and some that fail before they can be told anything."""

from __future__ import annotations

import textwrap
from pathlib import Path

OBEDIENT = '''
import asyncio, ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path
from typing import Any, AsyncIterator, Iterator
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File

DAEMON = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
os.close(1)
time.sleep(600)
"""
print("imported")

class Setup(BaseAppSetup):
    size: str = "small"
    file: File | None = None
    fail: bool = False
    die: bool = False

class Order(BaseAppInput):
    text: str = ""
    seconds: float = 0.0
    count: int = 0
    path: str = ""
    file: File | None = None

class Answer(BaseAppOutput):
    text: str = ""
    number: float = 0.0
    file: File | None = None
    files: list[File] = []
    data: dict[str, Any] = {}

class App(BaseApp):
    async def setup(self, config: Setup, metadata):
        print("setting up", config.size, metadata.worker_id)
        if config.fail:
            raise RuntimeError("no weights")
        if config.die:
            os._exit(4)
        self.size = config.size
        self.session_id = metadata.session_id
        self.key = metadata.idempotency_key
        self.seen = []
        self.cancels = 0
        self.should_stop = False

    async def run(self, input: Order, metadata) -> Answer:
        print("says", input.text)
        self.seen.append(input.text)
        known = {"pid": os.getpid(), "task": metadata.task_id, "user": metadata.user_id}
        known |= {"session": metadata.session_id, "set up in": self.session_id}
        known |= {"key": metadata.idempotency_key, "set up for": self.key}
        return Answer(text=f"{self.size}:{input.text}", number=len(self.seen), data=known)

    def fail(self, input: Order) -> Answer:
        print("about to fail")
        raise ValueError("bad size")

    async def exit(self, input: Order) -> Answer:
        sys.exit(3)

    async def interrupt(self, input: Order) -> Answer:
        raise KeyboardInterrupt

    async def vanish(self, input: Order) -> Answer:
        print("last words", flush=True)
        os._exit(3)

    async def crash(self, input: Order) -> Answer:
        os.kill(os.getpid(), signal.SIGSEGV)
        await asyncio.sleep(60)

    async def nap(self, input: Order) -> Answer:
        print("begun")
        try:
            await asyncio.sleep(input.seconds or 600)
        finally:
            print("cleaned up")
        return Answer(text="slept")

    def sync_nap(self, input: Order) -> Answer:
        print("begun")
        try:
            time.sleep(600)
        finally:
            print("cleaned up")

    def spin(self, input: Order) -> Answer:
        print("begun")
        try:
            while True:
                pass
        finally:
            print("cleaned up")

    def hold(self, input: Order) -> Answer:
        """Holds the interpreter: nothing of Python moves until it returns."""
        Path(input.path or os.devnull).write_text(str(os.getpid()))
        ctypes.PyDLL(None).sleep(600)

    def deaf(self, input: Order) -> Answer:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        while True:
            try:
                while True:
                    time.sleep(600)
            except BaseException:
                pass

    async def blocked(self, input: Order) -> Answer:
        """A coroutine that blocks its loop, and heeds on_cancel."""
        print("begun")
        while not self.should_stop:
            time.sleep(0.01)
        self.should_stop = False
        return Answer(text="stopped itself")

    async def stubborn(self, input: Order) -> Answer:
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                print("never")

    async def on_cancel(self):
        print("asked to stop")
        self.cancels += 1
        self.should_stop = True
        return Path("polite").exists()

    async def be_polite(self, input: Order) -> Answer:
        Path("polite").touch()
        return Answer()

    async def count(self, input: Order) -> AsyncIterator[Answer]:
        for number in range(1, input.count + 1):
            await asyncio.sleep(input.seconds)
            yield Answer(number=number)

    def sync_count(self, input: Order) -> Iterator[Answer]:
        print("begun")
        number = 0
        try:
            while not input.count or number < input.count:
                number += 1
                yield Answer(number=number)
        finally:
            print("cleaned up")

    async def write(self, input: Order) -> Answer:
        Path("out.txt").write_text(input.text)
        return Answer(file=File(path="out.txt"), files=[File(path="out.txt")])

    async def write_many(self, input: Order) -> AsyncIterator[Answer]:
        for number in range(input.count):
            Path("out.txt").write_text(f"take {number}")
            yield Answer(file=File(path="out.txt"))

    async def read(self, input: Order) -> Answer:
        content = Path(input.file.path).read_text()
        return Answer(text=content, file=input.file, data={"name": input.file.filename, "path": input.file.path})

    async def read_setup(self, input: Order, config: Setup) -> Answer:
        return Answer(text=Path(config.file.path).read_text(), file=config.file, data={"path": config.file.path})

    async def keep_at_home(self, input: Order) -> Answer:
        found = (Path.home() / "kept.txt").exists()
        (Path.home() / "kept.txt").touch()
        return Answer(data={"home": str(Path.home()), "found": found})

    async def forget(self, input: Order) -> Answer:
        return Answer(file=File(path="nowhere.txt"))

    async def nothing(self, input: Order) -> Answer:
        return None

    async def wrong(self, input: Order) -> Answer:
        return {"number": "many"}

    async def nan(self, input: Order) -> Answer:
        return Answer(data={"list": [1.0, float("nan")]})

    async def surrogate(self, input: Order) -> Answer:
        return Answer(text="\\ud800")

    async def opaque(self, input: Order) -> Answer:
        return Answer(data={"thing": object()})

    async def huge(self, input: Order) -> Answer:
        return Answer(text="x" * (20 << 20))

    async def hog(self, input: Order) -> Answer:
        return Answer(number=len(bytearray(4 << 30)))

    async def breed(self, input: Order) -> Answer:
        """Leaves children behind: in the group, out of it, and as a daemon."""
        child = subprocess.Popen(["sleep", "600"])
        away = subprocess.Popen(["sleep", "600"], start_new_session=True)
        daemon = subprocess.run([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, text=True).stdout
        pids = [os.getpid(), child.pid, away.pid, int(daemon)]
        Path(input.path or os.devnull).write_text(" ".join(map(str, pids)))
        if input.seconds:
            await asyncio.sleep(input.seconds)
        return Answer(data={"pids": pids})

    async def environment(self, input: Order) -> Answer:
        open_files = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        known = {"cwd": os.getcwd(), "argv": sys.argv, "stdin": sys.stdin.read(), "files": open_files}
        return Answer(data={"env": dict(os.environ), **known})

    async def shout(self, input: Order) -> Answer:
        for number in range(input.count):
            print("line", number)
        sys.stderr.write("no newline at the end")
        return Answer()

    async def unload(self):
        if "UNLOADED" in os.environ:
            Path(os.environ["UNLOADED"]).write_text("yes")
'''

BROKEN = """
print("one"); print("two")
import no_such_module
"""

DYING = """
import os
print("before the end", flush=True)
os._exit(3)
"""

SLOW = """
import time
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput
print("slow to start", flush=True)
time.sleep(600)
"""


def write_app(folder: Path, source: str = OBEDIENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.py").write_text(textwrap.dedent(source))
    return folder
