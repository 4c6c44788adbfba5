"""The thread driver of a turn: one inbox, one machine, the loop in the caller's own thread.

Callbacks and Ctrl-C happen there; the stream is read, requests are sent and handlers run on daemon threads that are
gone when the turn is over. Everything that thinks is in `protocol/turn.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator

from agentkit.client.endings import Ending, Finished, Taken, Unknown
from agentkit.client.handlers import Handlers, Started
from agentkit.client.judging import Judges
from agentkit.client.loop import Loop
from agentkit.client.requests import (
    allow,
    fetch_chat,
    post_decision,
    post_result,
    post_run,
    post_unknown,
    stream_path,
)
from agentkit.client.transport import Transport
from agentkit.client.uploads import attach
from agentkit.errors import APIError, ConflictError
from agentkit.protocol import api, endpoint
from agentkit.protocol.calls import Call
from agentkit.protocol.effects import (
    Allow,
    CancelTool,
    CloseStream,
    Effect,
    Emit,
    FetchChat,
    Judge,
    OpenStream,
    PostDecision,
    PostResult,
    PostRun,
    PostStop,
    PostUnknown,
    RunTool,
    Settle,
    StartTimer,
)
from agentkit.protocol.events import Story, TurnEvent
from agentkit.protocol.turn import TurnMachine
from agentkit.protocol.verdicts import Verdict

__all__ = ["Drive"]

logger = logging.getLogger("agentkit.turn")

Input = Callable[[TurnMachine], list[Effect]]


class Drive(Loop[TurnMachine]):
    """One turn under way. `events` is the loop; `put` may be called from any thread."""

    def __init__(
        self,
        transport: Transport,
        machine: TurnMachine,
        *,
        handlers: Handlers,
        story: Story,
        judges: Judges | None = None,
    ) -> None:
        super().__init__(transport, machine, name="turn")
        self.story = story
        self._handlers = handlers
        self._judges = judges or Judges({})
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
            case PostUnknown():
                untellable = self._handlers.untellable(effect.id, effect.note)
                self._ask(
                    lambda: self._transport.send(post_unknown(effect)),
                    then=lambda machine, _: machine.unknown_told(effect.id),
                    failed=lambda machine, error: machine.unknown_failed(effect.id, error, untellable),
                )
            case Judge():
                self._judge(effect)
            case Allow():
                self._ask(
                    lambda: self._transport.send(allow(effect)),
                    then=lambda machine, _: machine.allowed(effect.id),
                    failed=lambda machine, error: machine.allow_failed(effect.id, error),
                )
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
                self._send_result(effect)
                self._handlers.posted(effect.id)
            except ConflictError:
                self._handlers.posted(effect.id)  # it has another result
                raise
            finally:
                self._posting.discard(done)
                done.set()

        self._ask(
            request,
            then=lambda machine, _: machine.result_posted(effect.id),
            failed=lambda machine, error: machine.result_failed(effect.id, error),
        )

    def _send_result(self, effect: PostResult) -> None:
        handlers = self._handlers
        try:
            self._transport.send(self._result(effect))
        except APIError as error:
            if (said := handlers.instead(effect, error)) is None:
                raise
            self._transport.send(self._result(said))

    def _result(self, effect: PostResult) -> endpoint.Call[None]:
        return post_result(effect, failed=self._handlers.has_failed(effect.id), files=self._handlers.files(effect.id))

    def _run_tool(self, effect: RunTool) -> None:
        started = self._handlers.start(effect, chat_id=self.machine.chat_id or "", tell=self._progress)
        self._running[effect.id] = started
        if (seconds := started.timeout_seconds) is not None:
            self.start_timer(f"tool {effect.id}", seconds, lambda machine: self._time_out(machine, started))

        def job() -> None:
            ending = started.run_sync(lambda files: self._transport.run(attach(files)))
            self.put(lambda machine: self._finish(machine, started, ending))

        self._do(job)

    def _finish(self, machine: TurnMachine, started: Started, ending: Ending) -> list[Effect]:
        """The first result counts: the handler's, or that it took too long."""
        if not self._is_awaited(machine, started):
            return []
        id_ = started.effect.id
        match ending:
            case Finished(result):
                finished = machine.tool_finished(id_, result)
                return [*finished, *machine.stop()] if started.wants_stop else finished
            case Unknown(why):
                return machine.tool_unknown(id_, why)
            case Taken():
                self._do(lambda: self._wait_until_free(started))
                return machine.tool_taken(id_)

    def _time_out(self, machine: TurnMachine, started: Started) -> list[Effect]:
        if not self._is_awaited(machine, started):
            return []
        started.cancel()
        return self._finish(machine, started, started.timed_out())

    def _wait_until_free(self, started: Started) -> None:
        if started.waits_until_free():
            self.put(lambda machine: machine.tool_free(started.effect))

    def _is_awaited(self, machine: TurnMachine, started: Started) -> bool:
        id_ = started.effect.id
        return machine.calls.get(id_) is Call.RUNNING and self._running.get(id_) is started

    def _judge(self, effect: Judge) -> None:
        """The first verdict counts: the rule's, or that it took too long, which leaves the call to people."""
        judging = self._judges.start(effect)

        def job() -> None:
            needs_person = judging.run_sync()
            self.put(lambda machine: machine.judged(effect.id, needs_person=needs_person))

        def time_out(machine: TurnMachine) -> list[Effect]:
            if machine.verdicts.get(effect.id) is not Verdict.JUDGING:
                return []
            return machine.judged(effect.id, needs_person=judging.timed_out())

        self.start_timer(f"judge {effect.id}", judging.timeout_seconds, time_out)
        self._do(job)

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
