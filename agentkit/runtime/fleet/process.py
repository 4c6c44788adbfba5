"""One worker process: started, talked to, and ended with whatever it started."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, Process, TaskGroup

from agentkit.apps.messages import Asked, BadMessage, Hello, Lines, Load, Message, Ping, Pong, Stop, decode, encode
from agentkit.runtime.fleet.exits import exit_reason
from agentkit.runtime.fleet.log import ProcessLog
from agentkit.runtime.fleet.variables import worker_variables
from agentkit.runtime.ports import Source

__all__ = ["WorkerGone", "WorkerProcess", "rss_bytes"]

INBOX: Final = 64  # messages read ahead of what the platform has taken in
HANG_UP_SECONDS: Final = 8.0  # for a guardian to end everything; it takes itself 5 s at most


class WorkerGone(Exception):
    """The process has ended, or cannot be talked to any more. The message follows "the app's process ..."."""


class WorkerProcess:
    """A process that hosts one app, with a scratch folder of its own. `over` is set when it is gone entirely."""

    def __init__(self, process: Process, *, scratch: Path, token: str) -> None:
        self.token = token
        self.scratch = scratch
        self.log = ProcessLog(token)
        self.over = anyio.Event()
        self.calls = 0
        self._pings = 0  # sent, and not answered yet
        self.was_ended = False  # by us
        self._process = process
        self._app_pid: int | None = None
        self._trouble: str | None = None
        self._told, self._inbox = anyio.create_memory_object_stream[Message](INBOX)
        self._unread: deque[Message] = deque()  # when it is over

    @classmethod
    async def start(
        cls, source: Source, *, group: TaskGroup, log: Callable[[str], None] | None = None
    ) -> WorkerProcess:
        """Starts a process for the app. Raises OSError where it cannot be started.

        It cannot be cancelled once there is a process: whoever asked for it gets it, and ends it.
        """
        scratch = await anyio.to_thread.run_sync(_make_scratch)
        variables = worker_variables(source.env, home=source.home or scratch / "home", scratch=scratch)
        command = [str(source.python), "-u", "-P", "-m", "agentkit.apps.worker", str(scratch)]
        try:
            process = await _open(command, cwd=scratch / "work", env=variables)
        except BaseException:
            await anyio.to_thread.run_sync(_remove, scratch)
            raise
        worker = cls(process, scratch=scratch, token=secrets.token_hex(16))
        worker.log.sink = log
        group.start_soon(worker._live, name=f"worker process {process.pid}")
        return worker

    # -- talking ---------------------------------------------------------------------------------------------------

    async def load(self, source: Source) -> None:
        """Tells it to import the app. Raises WorkerGone."""
        memory_bytes = source.memory_bytes
        await self.send(Load(str(source.folder), self.token, is_compat=source.is_compat, memory_bytes=memory_bytes))

    async def send(self, message: Message) -> None:
        """Sends a message. Raises WorkerGone."""
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(encode(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await self.over.wait()
            raise WorkerGone(self.reason) from None

    async def receive(self, task_id: str | None = None) -> Message:
        """The next message. Raises WorkerGone when the process has ended and everything it sent was received.

        What an app said to the cancel of another task came after that had ended, and is left out; so is the answer to
        a ping that was given up, as by a cancel.
        """
        while True:
            match message := await self._next():
                case Pong():
                    self._pings -= 1
                case Asked() if message.task_id != task_id:
                    pass
                case _:
                    return message

    async def _next(self) -> Message:
        try:
            return await self._inbox.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            await self.over.wait()
        if self._unread:
            return self._unread.popleft()
        raise WorkerGone(self.reason)

    async def is_there(self) -> bool:
        """Whether it answers; for when it has nothing else to do."""
        if self.is_alive:
            with suppress(WorkerGone):
                self._pings += 1
                await self.send(Ping())
                while self._pings and isinstance(message := await self._next(), Asked | Pong):
                    self._pings -= isinstance(message, Pong)
                if not self._pings:
                    return True
        await self.kill()
        return False

    @property
    def pid(self) -> int:
        """The app's own process, where it has said hello."""
        return self._app_pid or self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can still be talked to."""
        return self._process.returncode is None and self._trouble is None

    @property
    def reason(self) -> str:
        """Why it ended; follows "the app's process ..."."""
        return self._trouble or exit_reason(self._process.returncode)

    # -- ending it -------------------------------------------------------------------------------------------------

    async def stop(self, *, grace_seconds: float) -> None:
        """Lets the app unload, then terminates it, then kills it; returns when nothing of it is left."""
        self.was_ended = True
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(grace_seconds), suppress(WorkerGone):
                await self.send(Stop())
                await self.over.wait()
            if not self.over.is_set():
                self.terminate()
                with anyio.move_on_after(grace_seconds):
                    await self.over.wait()
            await self.kill()

    def terminate(self) -> None:
        """Asks the process and its children to end."""
        self.was_ended = True
        self._signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Ends the process and everything it started, at once."""
        if self.over.is_set():
            return
        self.was_ended = True
        self._signal(signal.SIGINT)  # its guardian's sign to kill
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(HANG_UP_SECONDS):
                await self.over.wait()
            if not self.over.is_set():
                self._signal(signal.SIGKILL)
                await self.over.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    # -- while it lives --------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Reads its pipes until it is gone; then cleans up after it."""
        with anyio.CancelScope(shield=True):  # the fleet ends the process, and that ends this
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._read_messages)
                    group.start_soon(self._read_log)
                    await self._process.wait()
                    group.cancel_scope.deadline = anyio.current_time() + 1.0  # its pipes end with it
            finally:
                self.log.close()
                self._close_inbox()
                await self._close()
                await anyio.to_thread.run_sync(_remove, self.scratch)
                self.over.set()

    async def _read_messages(self) -> None:
        assert self._process.stdout is not None
        lines = Lines()
        async with self._told:
            async for chunk in self._process.stdout:
                for line in lines.feed(chunk):
                    if not await self._tell(line):
                        return

    async def _tell(self, line: bytes) -> bool:
        try:
            message = decode(line)
        except BadMessage as error:
            self._trouble = f"sent what is no message: {error}"
            self._signal(signal.SIGINT)
            return False
        if isinstance(message, Hello):
            self._app_pid = message.pid
        else:
            await self._told.send(message)
        return True

    def _close_inbox(self) -> None:
        with suppress(anyio.EndOfStream, anyio.WouldBlock):
            while True:
                self._unread.append(self._inbox.receive_nowait())
        self._inbox.close()

    async def _read_log(self) -> None:
        stream: ByteReceiveStream | None = self._process.stderr
        assert stream is not None
        async for chunk in stream:
            self.log.feed(chunk)

    async def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                if stream is not None:
                    await stream.aclose()
        await self._process.aclose()


async def _open(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Process:
    opened: Process | None = None
    with anyio.CancelScope(shield=True):  # or a process could be started that nobody knows of
        opened = await anyio.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    assert opened is not None  # a shielded scope that nobody cancels
    return opened


def _make_scratch() -> Path:
    scratch = Path(tempfile.mkdtemp(prefix="agentkit-worker-"))
    for part in ("work", "home", "tmp", "files", "setup"):
        (scratch / part).mkdir()
    return scratch


def _remove(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)


def rss_bytes(pid: int) -> int | None:
    """How much memory a process has in use; None where that cannot be known."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
