"""One app inside its worker process, from `Load` to `Stop` (messages.py).

The app lives on the main thread and on one asyncio loop, which is what apps are written for. Plain methods run there
too: what `setup` made (a database connection, a GPU context) may belong to its thread. A second thread listens, so a
cancel is heard while the app computes: a coroutine gets its CancelledError from the loop, a plain method from a signal.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pydantic import BaseModel

from agentkit.apps.cache import keeping_in
from agentkit.apps.control import Control
from agentkit.apps.lifecycle import Hosted
from agentkit.apps.messages import (
    Asked,
    Cancel,
    Canceled,
    Done,
    Failed,
    Hello,
    Kept,
    Load,
    Message,
    Output,
    Ping,
    Pong,
    Ready,
    Run,
    Settled,
    SetUp,
    Stop,
    encode,
)
from agentkit.apps.metadata import Metadata
from agentkit.apps.mishaps import Mishap, Terminated, mishap_of
from agentkit.apps.resolved import ResolvedFile, resolving
from agentkit.apps.shipping import TaskFiles, ship
from agentkit.errors import AppOutputError

__all__ = ["host"]

MAX_OUTPUT_BYTES: Final = 8 << 20
BLOCKED_SECONDS: Final = 0.2  # a loop that does not look up for so long is blocked by the app
INTERRUPT: Final = signal.SIGURG  # ignored unless asked for, and nobody asks


def host(control: Control, *, scratch: str) -> int:
    """Hosts an app until the server says stop; returns the exit code. `scratch` is the process's own folder."""
    try:
        with asyncio.Runner() as runner:
            return runner.run(_Host(control, Path(scratch)).serve())
    except Terminated as end:
        return end.exit_code


class _Run:
    """The task that is running, or about to be."""

    def __init__(self, message: Run) -> None:
        self.message = message
        self.task_id = message.task_id
        self.has_begun = threading.Event()
        self.files = _files_of(message)
        self.kept = asyncio.Event()
        self.task: asyncio.Task[Mishap | None] | None = None
        self.is_cancel_wanted = False


class _Host:
    def __init__(self, control: Control, scratch: Path) -> None:
        self._control = control
        self._inputs = scratch / "inputs"  # what tasks name by URL or bring along; not the app's own cache
        self._inbox: asyncio.Queue[Message | _Run] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop
        self._hosted: Hosted | None = None
        self._setup_files = TaskFiles()
        self._run: _Run | None = None
        self._is_in_method = False  # a plain method of the app has the main thread
        self._memory_bytes: int | None = None

    async def serve(self) -> int:
        """Does what the server asks for, one thing after the other, until it says stop."""
        self._loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(INTERRUPT, self._interrupted)
        self._control.listen(self._hear, gone=_end_at_once)
        self._control.send(Hello(os.getpid()))
        while not isinstance(message := await self._inbox.get(), Stop):
            match message:
                case Load():
                    await self._load(message)
                case SetUp():
                    await self._set_up(message)
                case _Run():
                    await self._do(message)
                case Ping():
                    self._control.send(Pong())
                case _:
                    pass  # not for a worker
        await self._unload()
        os._exit(0)  # not by way of the interpreter's end, which waits for threads that the app forgot

    # -- phases ----------------------------------------------------------------------------------------------------

    async def _load(self, message: Load) -> None:
        self._control.token = message.token
        self._memory_bytes = message.memory_bytes
        try:
            _limit_memory(message.memory_bytes)
            self._hosted = Hosted.load(message.folder, compat=message.is_compat, in_thread=self._in_method)
        except BaseException as error:
            self._send_failure(None, error)
        else:
            self._control.send(Ready(list(self._hosted.interface.functions), self._control.mark()))

    async def _set_up(self, message: SetUp) -> None:
        try:
            self._setup_files = _files_of(message)
            with resolving(self._setup_files, is_closed=True), keeping_in(self._inputs):
                value = self._app.check_setup(message.value)
            await self._app.setup(value, Metadata(**message.metadata))
        except BaseException as error:
            self._send_failure(None, error)
        else:
            self._control.send(Settled(self._control.mark()))

    async def _do(self, run: _Run) -> None:
        run.task = asyncio.create_task(self._call(run, run.message))
        run.has_begun.set()
        await asyncio.wait({run.task})
        self._run = None
        mishap = None if run.task.cancelled() else run.task.result()
        self._send_end(run, mishap)

    async def _unload(self) -> None:
        if self._hosted is None:
            return
        try:
            await self._hosted.unload()
        except BaseException:
            traceback.print_exc()
        self._control.mark()

    @property
    def _app(self) -> Hosted:
        assert self._hosted is not None  # the server loads first
        return self._hosted

    # -- a task ----------------------------------------------------------------------------------------------------

    async def _call(self, run: _Run, message: Run) -> Mishap | None:
        """Calls the function; what went wrong, if anything did. Nothing gets out of here but the end of the process."""
        try:
            with resolving(run.files, is_closed=True), keeping_in(self._inputs):
                value = await self._in_method(lambda: self._app.check_input(message.function, message.input))
            is_single = not self._app.interface.function(message.function).is_generator
            async for output in self._app.stream(message.function, value, Metadata(**message.metadata)):
                await self._deliver(run, output, is_last=is_single)
                await asyncio.sleep(0)  # a plain generator would never let the loop see a cancel
        except Terminated:
            raise
        except BaseException as error:
            return mishap_of(error, memory_bytes=self._memory_bytes)
        return None

    async def _deliver(self, run: _Run, output: BaseModel, *, is_last: bool) -> None:
        shipment = ship(output, given={**self._setup_files, **run.files}, token=self._control.token)
        try:
            line = encode(Output(run.task_id, shipment.value, shipment.files, is_last))
        except (ValueError, TypeError) as error:
            raise AppOutputError(f"the output cannot be written as JSON: {error}") from error
        if len(line) > MAX_OUTPUT_BYTES:
            raise AppOutputError(
                f"the output is {len(line):,} bytes of JSON, and at most {MAX_OUTPUT_BYTES:,} are taken;"
                " return what is large as a File"
            )
        run.kept.clear()
        self._control.send_line(line)
        if shipment.files:
            await run.kept.wait()

    def _send_end(self, run: _Run, mishap: Mishap | None) -> None:
        is_cancelled = run.task is not None and run.task.cancelled()
        if run.is_cancel_wanted and (mishap is not None or is_cancelled):
            if mishap is not None and not mishap.is_cancellation:
                mishap.print()
            self._control.send(Canceled(run.task_id, self._control.mark()))
        elif mishap is None:
            self._control.send(Done(run.task_id, self._control.mark()))
        else:
            self._send_mishap(run.task_id, mishap)

    def _send_failure(self, task_id: str | None, error: BaseException) -> None:
        if isinstance(error, Terminated):
            raise error
        self._send_mishap(task_id, mishap_of(error, memory_bytes=self._memory_bytes))

    def _send_mishap(self, task_id: str | None, mishap: Mishap) -> None:
        mishap.print()
        self._control.send(Failed(task_id, mishap.text, self._control.mark(), is_broken=mishap.is_broken))

    # -- what comes in between, on the thread that listens ---------------------------------------------------------

    def _hear(self, message: Message) -> None:
        match message:
            case Run():
                self._run = _Run(message)  # here and now, for a cancel may be next
                self._soon(self._inbox.put_nowait, self._run)
            case Cancel():
                threading.Thread(target=self._cancel, args=(message,), name="agentkit-cancel", daemon=True).start()
            case Kept():
                self._soon(self._go_on, message.task_id)
            case _:
                self._soon(self._inbox.put_nowait, message)

    def _go_on(self, task_id: str) -> None:
        if self._run is not None and self._run.task_id == task_id:
            self._run.kept.set()

    def _cancel(self, message: Cancel) -> None:
        run = self._run
        if run is None or run.task_id != message.task_id:
            return
        run.has_begun.wait()
        run.is_cancel_wanted = True
        is_acknowledged = message.ask and "on_cancel" in self._app.interface.hooks and self._ask()
        if message.ask:
            with suppress(OSError):
                self._control.send(Asked(run.task_id, is_acknowledged))
        if not is_acknowledged:
            self._stop(run)

    def _ask(self) -> bool:
        """Calls the app's `on_cancel`: on its loop, or here where the app has blocked that."""
        turn = threading.Lock()  # whoever takes it calls
        answered = threading.Event()
        answers: list[bool] = []

        async def ask() -> None:
            try:
                answers.append(await self._app.cancel())
            except Exception:
                traceback.print_exc()
            finally:
                answered.set()

        def ask_on_loop() -> None:
            if turn.acquire(blocking=False):
                asking.append(self._loop.create_task(ask()))

        asking: list[asyncio.Task[None]] = []
        self._soon(ask_on_loop)
        if not answered.wait(BLOCKED_SECONDS) and turn.acquire(blocking=False):
            asyncio.run(ask())
        answered.wait()
        return any(answers)

    def _stop(self, run: _Run) -> None:
        self._soon(self._stop_on_loop, run)
        signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPT)

    def _stop_on_loop(self, run: _Run) -> None:
        if run.task is not None:
            run.task.cancel()

    def _soon(self, call: Callable[..., Any], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(call, *args)

    # -- plain methods ---------------------------------------------------------------------------------------------

    async def _in_method(self, call: Callable[[], Any]) -> Any:
        """Calls a plain method of the app, which a cancel gets out of."""
        self._is_in_method = True
        try:
            return call()
        finally:
            self._is_in_method = False

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._is_in_method and self._run is not None and self._run.is_cancel_wanted:
            self._is_in_method = False  # once: what it does to clean up is not disturbed
            raise asyncio.CancelledError


def _files_of(message: SetUp | Run) -> TaskFiles:
    return TaskFiles({uri: ResolvedFile(**known) for uri, known in message.files.items()})


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(128 + number)


def _end_at_once() -> None:
    os._exit(1)  # the server hung up


def _limit_memory(memory_bytes: int | None) -> None:
    if memory_bytes is not None and sys.platform == "linux":
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, most))
