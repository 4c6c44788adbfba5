"""The official SDKs, each version in a folder of its own below `.cache/sdk`, run in processes of their own.

    sdk = install_wheel("0.7.8")
    facts = sdk.run('tell(text=client.agents.create("a/b").send_message("hi")["status"])', url=server.url)

A program finds `inferencesh` (or `sdk`, in JavaScript), a `client` and `tell`, and reports by telling facts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

__all__ = ["KEY", "NEWEST", "PUBLISHED", "Program", "Sdk", "install_package", "install_wheel"]

KEY = "inf_0123456789abcdef"
PUBLISHED = "0.7.8"  # seeds/003
NEWEST = "0.36.0"  # the newest on PyPI when this was written; raise it by hand, so that a release breaks no build
PACKAGE = "@inferencesh/sdk@0.6.54"  # the 0.6 line of seeds/001; the registry has no other version of it
DEPENDENCIES = ("aiofiles>=23.2.1", "aiohttp>=3.9", "requests>=2.31", "tqdm>=4.67", "pydantic>=2")  # Python 3.11+
HOME = Path(__file__).resolve().parents[2] / ".cache" / "sdk"
BUNDLER = Path(__file__).with_name("bundler.mjs")
NODE = (20, 6)
INSTALL_SECONDS = 240
RUN_SECONDS = 40  # then a program is killed

PYTHON_PRELUDE = """\
import json, os, sys, threading, time
import inferencesh
from inferencesh import async_inference, inference

KEY, URL = os.environ["SDK_KEY"], os.environ["SDK_URL"]
client = inference(api_key=KEY, base_url=URL)

def tell(**facts):
    print(json.dumps(facts), flush=True)

def text(message):
    return "".join(part.get("text") or "" for part in message.get("content") or [])

def cut(call):
    try:
        call()
    except BaseException as error:
        return [type(error).__name__, str(error)]

"""

NODE_PRELUDE = """\
import * as sdk from '@inferencesh/sdk';
const client = sdk.inference({ apiKey: process.env.SDK_KEY, baseUrl: process.env.SDK_URL, pollIntervalMs: 50 });
const tell = (facts) => console.log(JSON.stringify(facts));
const text = (message) => (message.content ?? []).map((part) => part.text ?? '').join('');

"""


@dataclass
class Program:
    """A program that runs. `facts` are read as it tells them."""

    process: subprocess.Popen[str]

    def fact(self) -> dict[str, Any]:
        """The next thing it tells; fails the test where it ends instead."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.check()
            pytest.fail("the program ended without telling more")
        return dict(json.loads(line))

    def facts(self) -> list[dict[str, Any]]:
        """Everything else it tells, once it has ended well."""
        assert self.process.stdout
        told = [dict(json.loads(line)) for line in self.process.stdout]
        self.check()
        return told

    def check(self) -> None:
        """Fails the test unless the program ended well."""
        assert self.process.stderr
        code, errors = self.process.wait(), self.process.stderr.read()
        assert code == 0, f"the program ended with {code}\n{errors}"


@dataclass(frozen=True)
class Sdk:
    """One version of an SDK, installed. `command` takes a program's source as its last argument."""

    name: str
    home: Path
    command: Sequence[str]
    prelude: str

    @contextmanager
    def start(self, source: str, *, url: str, key: str = KEY) -> Generator[Program]:
        """The program while it runs; killed where the test ends before it or it takes too long."""
        env = {"PATH": os.environ["PATH"], "SDK_KEY": key, "SDK_URL": url, "PYTHONPATH": str(self.home)}
        process = subprocess.Popen(
            [*self.command, self.prelude + dedent(source)],
            cwd=self.home,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        patience = threading.Timer(RUN_SECONDS, process.kill)
        patience.start()
        with process:
            try:
                yield Program(process)
            finally:
                patience.cancel()
                process.kill()

    def run(self, source: str, *, url: str, key: str = KEY) -> list[dict[str, Any]]:
        """What the program told, once it has ended well."""
        with self.start(source, url=url, key=key) as program:
            return program.facts()


def install_wheel(version: str) -> Sdk:
    """`inferencesh` of this version. Skips the test where it cannot be had; in CI that is a failure."""
    home = HOME / f"inferencesh-{version}-{sys.implementation.cache_tag}"

    def fill(target: Path) -> list[str]:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(target)]
        return [*pip, f"inferencesh=={version}", *DEPENDENCIES]

    _install(home, fill, what=f"inferencesh {version}")
    return Sdk(f"inferencesh-{version}", home, (sys.executable, "-c"), PYTHON_PRELUDE)


def install_package() -> Sdk:
    """The JavaScript SDK. Skips the test without node, or where the package cannot be had (in CI: fails)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed here")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.lstrip("v").split(".")[:2])) < NODE:
        pytest.skip(f"node {version} is too old: the package needs the module hooks of {'.'.join(map(str, NODE))}")
    home = HOME / PACKAGE.replace("/", "-").removeprefix("@").replace("@", "-")

    def fill(target: Path) -> list[str]:
        cache = str(HOME / "npm")
        return [
            npm,
            "install",
            "--prefix",
            str(target),
            "--no-audit",
            "--no-fund",
            "--silent",
            "--cache",
            cache,
            PACKAGE,
        ]

    _install(home, fill, what=PACKAGE)
    return Sdk(home.name, home, (node, "--import", BUNDLER.as_uri(), "--input-type=module", "-e"), NODE_PRELUDE)


def _install(home: Path, fill: Callable[[Path], list[str]], *, what: str) -> None:
    """Fills the folder once, whatever number of test processes ask for it at the same time."""
    HOME.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        if home.exists():
            return
        partial = home.with_name(f"{home.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        command = fill(partial)
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode != 0:
            reason = f"{what} cannot be installed: {(done.stderr or done.stdout).strip()[-500:]}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        partial.rename(home)


@contextmanager
def _alone(home: Path) -> Generator[None]:
    import fcntl  # where there is none (Windows), this suite does not run

    with home.with_name(f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
