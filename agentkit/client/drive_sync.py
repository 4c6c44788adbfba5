"""The thread driver of a turn: one inbox, one machine, the loop in the caller's own thread.

Callbacks and Ctrl-C happen there; the stream is read, requests are sent and handlers run on daemon threads that are
gone when the turn is over. Everything that thinks is in `protocol/turn.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator

from agentkit.client.handlers import Handlers, Started
from agentkit.client.loop import Loop
from agentkit.client.requests import fetch_chat, post_decision, post_result, post_run, stream_path
from agentkit.client.transport import Transport
from agentkit.client.uploads import attach
from agentkit.protocol import api
from agentkit.protocol.calls import Call
from agentkit.protocol.effects import (
    CancelTool,
    CloseStream,
    Effect,
    Emit,
    FetchChat,
    OpenStream,
    PostDecision,
    PostResult,
    PostRun,
    PostStop,
    RunTool,
    Settle,
    StartTimer,
)
from agentkit.protocol.events import Story, TurnEvent
from agentkit.protocol.turn import TurnMachine

__all__ = ["Drive"]

logger = logging.getLogger("agentkit.turn")

Input = Callable[[TurnMachine], list[Effect]]


class Drive(Loop[TurnMachine]):
    """One turn under way. `events` is the loop; `put` may be called from any thread."""

    def __init__(self, transport: Transport, machine: TurnMachine, *, handlers: Handlers, story: Story) -> None:
        super().__init__(transport, machine, name="turn")
        self.story = story
        self._handlers = handlers
        self._running: dict[str, Started] = {}
        self._posting: set[threading.Event] = set()

    def events(self, begin: Input) -> Generator[TurnEvent, None, None]:
        """Runs the turn; ends after RunFinished. Closing it, or Ctrl-C, leaves: the run goes on without us."""
        settled = False
        try:
            todo = begin(self.machine)
            while True:
                for effect in todo:
                    match effect:
                        case Emit():
                            yield from self.story.tell(effect)
                        case RunTool():
                            self._run_tool(effect)
                            yield from self.story.started(effect)
                        case Settle():
                            settled = True
                            self._wait_for_posts()
                            yield from self.story.finish(effect)
                            return
                        case _:
                            self._act(effect)
                todo = self._next()(self.machine)
        finally:
            self._end(settled=settled)

    # -- effects ---------------------------------------------------------------------------------------------------

    def _act(self, effect: Effect) -> None:
        logger.debug("chat %s: %s", self.machine.chat_id, type(effect).__name__)
        match effect:
            case OpenStream():
                self._open(effect.attempt, stream_path(effect))
            case CloseStream():
                self._close(effect.attempt)
            case StartTimer():
                self._start(effect)
            case PostRun():
                self._ask(
                    lambda: self._transport.send(post_run(effect, self._transport.config)),
                    then=self._accepted,
                    failed=lambda machine, error: machine.refused(error),
                )
            case PostStop():
                self._ask(
                    lambda: self._transport.send(api.STOP_CHAT.call(chat_id=effect.chat_id)),
                    failed=lambda machine, error: machine.stop_failed(error),
                )
            case FetchChat():
                self._ask(
                    lambda: self._transport.run(fetch_chat(effect)),
                    then=lambda machine, found: machine.fetched(effect.seq, *found),
                    failed=lambda machine, error: machine.fetch_failed(effect.seq, error),
                )
            case CancelTool():
                if started := self._running.pop(effect.id, None):
                    started.cancel()
            case PostResult():
                self._post_result(effect)
            case PostDecision():
                self._ask(
                    lambda: self._transport.send(post_decision(effect)),
                    failed=lambda machine, error: machine.decision_failed(effect.id, error),
                )
            case Emit() | RunTool() | Settle():
                raise AssertionError("told to the caller, not acted on")

    def _accepted(self, machine: TurnMachine, reply: object) -> list[Effect]:
        self.story.began(reply)
        return machine.accepted(reply)

    def _post_result(self, effect: PostResult) -> None:
        done = threading.Event()
        self._posting.add(done)

        def request() -> None:
            try:
                handlers, id_ = self._handlers, effect.id
                self._transport.send(post_result(effect, failed=handlers.has_failed(id_), files=handlers.files(id_)))
            finally:
                self._posting.discard(done)
                done.set()

        self._ask(
            request,
            then=lambda machine, _: machine.result_posted(effect.id),
            failed=lambda machine, error: machine.result_failed(effect.id, error),
        )

    def _run_tool(self, effect: RunTool) -> None:
        started = self._handlers.start(effect, chat_id=self.machine.chat_id or "", tell=self._progress)
        self._running[effect.id] = started
        if (seconds := started.timeout_seconds) is not None:
            self.start_timer(f"tool {effect.id}", seconds, lambda machine: self._time_out(machine, started))

        def job() -> None:
            result = started.run_sync(lambda files: self._transport.run(attach(files)))
            self.put(lambda machine: self._finish(machine, started, result))

        self._do(job)

    def _finish(self, machine: TurnMachine, started: Started, result: str) -> list[Effect]:
        """The first result counts: the handler's, or that it took too long."""
        if machine.calls.get(started.effect.id) is not Call.RUNNING:
            return []
        finished = machine.tool_finished(started.effect.id, result)
        return [*finished, *machine.stop()] if started.wants_stop else finished

    def _time_out(self, machine: TurnMachine, started: Started) -> list[Effect]:
        if machine.calls.get(started.effect.id) is not Call.RUNNING:
            return []
        started.cancel()
        return self._finish(machine, started, started.timed_out())

    def _progress(self, told: Emit) -> None:
        self.put(lambda _: [told])

    # -- waiting and ending ----------------------------------------------------------------------------------------

    def _wait_for_posts(self) -> None:
        """The result of a handler that has run must not get lost with the turn."""
        for done in list(self._posting):
            done.wait(self._transport.config.timeout_seconds)

    def _end(self, *, settled: bool) -> None:
        for started in self._running.values():
            started.cancel()
        super()._end(settled=settled)
