"""The async driver of a task: one thing after the other in the caller's task, so that it may be dropped anywhere."""

from __future__ import annotations

import logging
from collections import deque

from agentkit.client.drive_task_sync import Input, stream_path, tell_log
from agentkit.client.look import Look
from agentkit.client.transport import AsyncTransport
from agentkit.errors import AgentKitError, LocalProtocolError
from agentkit.protocol import api
from agentkit.protocol.effects import (
    CloseStream,
    Emit,
    FetchStatus,
    FetchTask,
    OpenTaskStream,
    PostCancel,
    Settle,
    StartTimer,
    WatchEffect,
)
from agentkit.protocol.watch import WatchMachine

__all__ = ["AsyncTaskDrive"]

logger = logging.getLogger("agentkit.task")


class AsyncTaskDrive:
    """One watch under way; works under asyncio and trio. `cancel` may be awaited while another task awaits `next`."""

    def __init__(self, transport: AsyncTransport, machine: WatchMachine, begin: Input) -> None:
        self.machine = machine
        self.end: Settle | None = None
        self._transport = transport
        self._look = Look(transport, machine)
        self._begin: Input | None = begin
        self._todo: deque[WatchEffect] = deque()
        self._told: deque[Emit] = deque()

    async def next(self) -> Emit | None:
        """The next update; None after the last one, when `end` says how it ended. By the last everything is closed."""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            self._todo.extend(begin(self.machine))
        while not self._told and self.end is None:
            while self._todo:
                await self._do(self._todo.popleft())
            if not self._told and self.end is None:
                self._todo.extend(await self._look.wait())
        return self._told.popleft() if self._told else None

    async def cancel(self) -> None:
        """Cancels the task; the watch then ends by itself. Whoever awaits `next` goes on with it."""
        for effect in self.machine.stop():
            if isinstance(effect, PostCancel):
                await self._do(effect)
            else:
                self._todo.append(effect)

    async def leave(self) -> None:
        """Stops listening; the task goes on."""
        self._begin = None
        for effect in self.machine.leave():
            if isinstance(effect, Settle):
                self.end = effect
        self._todo.clear()
        await self._look.close()

    async def _do(self, effect: WatchEffect) -> None:
        match effect:
            case Emit("update"):
                self._told.append(effect)
            case Emit():
                tell_log(self.machine, effect)
            case Settle():
                self.end = effect
                self._todo.clear()
                await self._look.close()
            case _:
                logger.debug("task %s: %s", self.machine.task_id, type(effect).__name__)
                self._todo.extend(await self._act(effect))

    async def _act(self, effect: WatchEffect) -> list[WatchEffect]:
        machine, send = self.machine, self._transport.send
        match effect:
            case OpenTaskStream():
                return await self._look.open(effect.attempt, stream_path(effect))
            case CloseStream():
                await self._look.close()
                return []
            case StartTimer():
                return self._look.start(effect)
            case PostCancel():
                try:
                    await send(api.CANCEL_TASK.call(task_id=effect.task_id).raw)
                except AgentKitError as error:
                    return machine.stop_failed(error)
                return []
            case FetchTask():
                try:
                    task = await send(api.GET_TASK.call(task_id=effect.task_id).raw)
                except AgentKitError as error:
                    return machine.fetch_failed(effect.seq, error)
                return machine.fetched(effect.seq, task)
            case FetchStatus():
                try:
                    status = await send(api.TASK_STATUS.call(task_id=effect.task_id).raw)
                except AgentKitError as error:
                    return machine.fetch_failed(effect.seq, error)
                return machine.status_fetched(effect.seq, status)
            case _:
                raise LocalProtocolError(f"somebody who watches a task was asked for {type(effect).__name__}")
