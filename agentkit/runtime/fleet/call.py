"""The call of an app's function: what it gives is told and its files are stored, until it ends or is cut short."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from agentkit.apps.messages import Asked, Cancel, Canceled, Done, Failed, Kept, Message, Output, Run
from agentkit.errors import AppError
from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime.fleet.patience import DESK_ATTEMPTS, insist
from agentkit.runtime.fleet.process import WorkerGone, WorkerProcess
from agentkit.runtime.ports import Desk, End, Job, LocalFile
from agentkit.wire import TaskStatus

__all__ = ["Call", "Cutting", "Limits", "known", "remove", "send"]

LOG_SECONDS: Final = 5.0  # how long the log may be behind the messages


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds."""

    default_timeout_seconds: float
    cancel_seconds: float
    kill_seconds: float
    start_seconds: float


class Cutting:
    """Somebody's wish that the task be cancelled; `seconds` is how long the app may take on its own."""

    def __init__(self, seconds: float) -> None:
        self.wanted = anyio.Event()
        self.forced = anyio.Event()  # at once
        self.seconds = seconds

    def ask(self, *, seconds: float | None, force: bool) -> None:
        """Wants it cancelled; may be called again, for less time or with force."""
        if seconds is not None:
            self.seconds = seconds
        self.wanted.set()
        if force:
            self.forced.set()

    async def wait(self, seconds: float) -> None:
        """Waits that long, or until it is to be forced."""
        with anyio.move_on_after(seconds):
            await self.forced.wait()


class Call:
    """One call, on a process that is ready for it. `is_broken`: the process should not be used any more.

    `verdict` counts, however the function ends after it: cancelled, out of time, or its files cannot be stored.
    """

    def __init__(
        self,
        process: WorkerProcess,
        job: Job,
        *,
        desk: Desk,
        cutting: Cutting,
        limits: Limits,
        counters: Counter[str],
    ) -> None:
        self.verdict: End | None = None
        self.is_broken = False
        self._process = process
        self._job = job
        self._task_id = job.task_id
        self._desk = desk
        self._cutting = cutting
        self._limits = limits
        self._counters = counters
        self._is_acknowledged = False
        self._is_uploading = False
        self._kept: dict[tuple[Any, ...], dict[str, Any]] = {}

    async def run(self, files: Mapping[str, LocalFile], metadata: Mapping[str, Any]) -> End:
        """Calls the function; how the task ended."""
        end = End("lost")
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch_time)
            group.start_soon(self._heed_cancel)
            await send(self._process, Run(self._task_id, self._job.function, self._job.input, known(files), metadata))
            end = await self._listen()
            group.cancel_scope.cancel()
        return self.verdict or end

    # -- what the function gives -----------------------------------------------------------------------------------

    async def _listen(self) -> End:
        """Takes what the function gives until it ends."""
        output: Any = None
        has_files = False
        try:
            while True:
                match message := await self._process.receive(self._task_id):
                    case Output():
                        output, has_files = await self._take(message), bool(message.files)
                    case Asked():
                        self._is_acknowledged = message.is_acknowledged
                    case Done() | Failed() | Canceled():
                        await self._process.log.reached(message.mark, timeout_seconds=LOG_SECONDS)
                        if has_files and isinstance(message, Done):
                            await self._upload()
                        return self._end_of(message, output)
                    case _:
                        self.is_broken = True
                        said = type(message).__name__
                        return End("failed", error=f"the app's process sent {said} while it was running")
        except WorkerGone as gone:
            self.is_broken = True
            return End("lost", error=f"the app's process {gone} while it was running")

    def _end_of(self, message: Done | Failed | Canceled, output: Any) -> End:
        match message:
            case Done():
                return End("completed", output=output)
            case Canceled():
                return End("cancelled")
            case Failed():
                self.is_broken = message.is_broken
                return End("failed", error=message.error)

    async def _take(self, message: Output) -> Any:
        """Stores the files of an output, and tells it; the last one is told with the end."""
        if message.is_last and message.files:
            await self._upload()
        value = await self._with_files(message)
        if self.verdict is not None:
            if message.files:  # it waits for an answer
                await send(self._process, Cancel(self._task_id, ask=False))
            return None
        if not message.is_last:
            await insist(f"task {self._task_id}: telling its output", lambda: self._desk.produced(self._task_id, value))
        if message.files:
            await send(self._process, Kept(self._task_id))
        return value

    async def _upload(self) -> None:
        """Says that files are being stored, once; whether the platform wants that is its answer."""
        if self.verdict is not None or self._is_uploading:
            return
        self._is_uploading = True
        what = f"task {self._task_id}: saying that it is uploading"
        if not await insist(what, lambda: self._desk.moved(self._task_id, TaskStatus.UPLOADING)):
            self._judge(End("cancelled"))

    # -- files -----------------------------------------------------------------------------------------------------

    async def _with_files(self, message: Output) -> Any:
        """The output with what stands for its files in their places; a verdict where one cannot be stored."""
        if not message.files or self.verdict is not None:
            return message.value
        try:
            kept = [await self._keep(file) for file in message.files]
        except AppError as error:
            self._judge(End("failed", error=str(error)))
            return None
        return _filled(message.value, kept, self._process.token)

    async def _keep(self, file: Mapping[str, Any]) -> dict[str, Any]:
        """What stands for the file; it is stored once, as long as it does not change."""
        path = Path(str(file["path"]))
        try:
            found = await anyio.Path(path).stat()
        except OSError as error:
            raise AppError(f"output file {str(path)!r}: {error.strerror}") from None
        key = (path, found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._kept:
            content_type, name = file.get("content_type") or "", file.get("filename") or path.name
            local = LocalFile(path, content_type=content_type, filename=name, size=found.st_size)
            self._kept[key] = await insist(
                f"task {self._task_id}: storing {path.name!r}",
                lambda: self._desk.keep(self._task_id, local),
                attempts=DESK_ATTEMPTS,
            )
        return self._kept[key]

    def _judge(self, end: End) -> None:
        """The first verdict counts."""
        self.verdict = self.verdict or end

    # -- cutting it short ------------------------------------------------------------------------------------------

    async def _watch_time(self) -> None:
        seconds = self._job.timeout_seconds or self._limits.default_timeout_seconds
        await anyio.sleep(seconds)
        self._judge(End("timeout", error=f"ran longer than {seconds:g} s"))
        await self._cut_short(ask=False, seconds=self._limits.kill_seconds)

    async def _heed_cancel(self) -> None:
        await self._cutting.wanted.wait()
        self._judge(End("cancelled"))
        await self._cut_short(ask=True, seconds=self._cutting.seconds)

    async def _cut_short(self, *, ask: bool, seconds: float) -> None:
        """Asks the app, tells its function, then its process, then kills that; ended as soon as the function is."""
        is_forced = self._cutting.forced.is_set
        if not is_forced():
            await send(self._process, Cancel(self._task_id, ask=ask))
            await self._cutting.wait(seconds)
        if ask and self._is_acknowledged and not is_forced():
            await send(self._process, Cancel(self._task_id, ask=False))
            await self._cutting.wait(self._limits.kill_seconds)
        if not is_forced():
            self._process.terminate()
            await self._cutting.wait(self._limits.kill_seconds)
        self._counters["killed"] += 1
        await self._process.kill()


async def send(process: WorkerProcess, message: Message) -> None:
    """Sends to a process that may be gone: whoever receives from it learns why."""
    try:
        await process.send(message)
    except WorkerGone:
        return


async def remove(folder: Path) -> None:
    """Removes a folder with what is in it."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))


def known(files: Mapping[str, LocalFile]) -> dict[str, dict[str, Any]]:
    """What an app is told of the files that were fetched for it."""
    return {
        uri: {
            "path": os.fspath(file.path),
            "content_type": file.content_type or None,
            "filename": file.filename or None,
            "size": file.size,
        }
        for uri, file in files.items()
    }


def _filled(value: Any, kept: list[dict[str, Any]], token: str) -> Any:
    if is_object(value):
        if list(value) == [token]:
            index: int = value[token]
            return kept[index]
        return {name: _filled(item, kept, token) for name, item in value.items()}
    if is_array(value):
        return [_filled(item, kept, token) for item in value]
    return value
