"""Commands that make something for an app: heard line by line, ended with whoever waits for them.

They see none of the server's keys: to install a package is to run its code.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

import anyio
from anyio.abc import ByteReceiveStream, Process

from agentkit.errors import AppError

__all__ = ["Log", "build", "build_variables"]

Log: TypeAlias = Callable[[str], object]
"""Takes lines of a build, ends of lines included."""

LAST_LINES: Final = 15  # of the command's, in the error
_PASSED: Final = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "CC", "CXX", "CFLAGS", "LDFLAGS",
                  "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CARGO_HOME", "RUSTUP_HOME")  # fmt: skip
_PASSED_PREFIXES: Final = ("LC_", "PIP_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


async def build(command: Sequence[str], *, what: str, folder: Path, log: Log) -> None:
    """Runs the command in the folder. Raises AppError with its last lines where it fails; `what` begins the message."""
    last: deque[str] = deque(maxlen=LAST_LINES)

    def take(text: str) -> None:
        last.extend(text.splitlines())
        log(text)

    try:
        process = await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder,
            env=build_variables(), start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise AppError(f"{what}: {command[0]}: {error.strerror}") from None
    async with _killed_at_the_end(process):
        if process.stdout is not None:
            await _lines(process.stdout, take)
        code = await process.wait()
    if code != 0:
        told = "\n".join(last) or f"exit code {code}"
        raise AppError(f"{what}:\n{told}")


def build_variables() -> dict[str, str]:
    """The variables that a build sees: none of the server's keys, for installing a package runs its code."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PASSED or name.upper().startswith(_PASSED_PREFIXES)
    }


@asynccontextmanager
async def _killed_at_the_end(process: Process) -> AsyncGenerator[None]:
    """Leaving it early ends the process and all that it started."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # the group lives as long as anything in it
            await process.wait()
            await process.aclose()


async def _lines(stream: ByteReceiveStream, take: Callable[[str], None]) -> None:
    """Gives whole lines, with their ends."""
    held = b""
    async for chunk in stream:
        *whole, held = (held + chunk).split(b"\n")
        if whole:
            take("".join(f"{line.decode(errors='replace')}\n" for line in whole))
    if held:
        take(f"{held.decode(errors='replace')}\n")
