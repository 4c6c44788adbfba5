"""The thread driver of a task: the loop of `drive_sync` round the machine of `protocol/watch.py`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import TypeAlias

from agentkit.client.loop import Loop
from agentkit.client.transport import Transport
from agentkit.protocol import api
from agentkit.protocol.effects import (
    CloseStream,
    Emit,
    FetchStatus,
    FetchTask,
    OpenTaskStream,
    PostCancel,
    PostTask,
    Settle,
    StartTimer,
    WatchEffect,
)
from agentkit.protocol.watch import WatchMachine

__all__ = ["Input", "TaskDrive", "stream_path", "tell_log"]

logger = logging.getLogger("agentkit.task")

Input: TypeAlias = Callable[[WatchMachine], list[WatchEffect]]


class TaskDrive(Loop[WatchMachine]):
    """One watch under way. `told` is the loop; `put` may be called from any thread."""

    def __init__(self, transport: Transport, machine: WatchMachine) -> None:
        super().__init__(transport, machine, name="task")
        self.end: Settle | None = None

    def told(self, begin: Input) -> Generator[Emit]:
        """Every update. By the last one everything is closed, and `end` says how it ended.

        Closing it, or Ctrl-C, leaves: the task goes on without us.
        """
        try:
            todo = begin(self.machine)
            while True:
                told: list[Emit] = []
                for effect in todo:
                    match effect:
                        case Emit("update"):
                            told.append(effect)
                        case Emit():
                            tell_log(self.machine, effect)
                        case Settle():
                            self.end = effect
                        case _:
                            self._act(effect)
                if self.end is not None:
                    self._end(settled=True)
                yield from told
                if self.end is not None:
                    return
                todo = self._next()(self.machine)
        finally:
            if self.end is None:
                self._end(settled=False)

    def _act(self, effect: WatchEffect) -> None:
        logger.debug("task %s: %s", self.machine.task_id, type(effect).__name__)
        send = self._transport.send
        match effect:
            case OpenTaskStream():
                self._open(effect.attempt, stream_path(effect))
            case CloseStream():
                self._close(effect.attempt)
            case StartTimer():
                self._start(effect)
            case PostCancel():
                self._ask(
                    lambda: send(api.CANCEL_TASK.call(task_id=effect.task_id).raw),
                    failed=lambda machine, error: machine.stop_failed(error),
                )
            case FetchTask():
                self._ask(
                    lambda: send(api.GET_TASK.call(task_id=effect.task_id).raw),
                    then=lambda machine, task: machine.fetched(effect.seq, task),
                    failed=lambda machine, error: machine.fetch_failed(effect.seq, error),
                )
            case FetchStatus():
                self._ask(
                    lambda: send(api.TASK_STATUS.call(task_id=effect.task_id).raw),
                    then=lambda machine, status: machine.status_fetched(effect.seq, status),
                    failed=lambda machine, error: machine.fetch_failed(effect.seq, error),
                )
            case PostTask() | Emit() | Settle():
                raise AssertionError("done before, or told to the caller")


def stream_path(effect: OpenTaskStream) -> tuple[str, dict[str, str]]:
    """Path and query of GET /tasks/{id}/stream."""
    return api.STREAM_TASK.call(task_id=effect.task_id).path, {}


def tell_log(machine: WatchMachine, told: Emit) -> None:
    """Notes what the caller is not told: a line that made no sense, a link that changed."""
    if told.kind == "error":
        logger.warning("task %s: %s", machine.task_id, told.data)
    else:
        logger.debug("task %s: %s %s", machine.task_id, told.kind, told.event or told.data)
