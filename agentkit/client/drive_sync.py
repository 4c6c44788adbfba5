"""The thread driver of a turn: one inbox, one machine, the loop in the caller's own thread.

Callbacks and Ctrl-C happen there; the stream is read, requests are sent and handlers run on daemon threads that are
gone when the turn is over. Everything that thinks is in `protocol/turn.py`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator

from agentkit.client.crew import Crew
from agentkit.client.handlers import Handlers, Started
from agentkit.client.requests import post_decision, post_result, post_run, stream_path
from agentkit.client.transport import AsyncTransport, Incoming, Transport
from agentkit.errors import AgentKitError
from agentkit.protocol import api, flows
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
from agentkit.protocol.lines import BadLine, Item
from agentkit.protocol.turn import TurnMachine

__all__ = ["Drive"]

logger = logging.getLogger("agentkit.turn")

Input = Callable[[TurnMachine], list[Effect]]
Post = Callable[[Input], None]

JOIN_SECONDS = 2.0  # for threads that were told to end; a request that hangs has its own timeout
LEAVE_SECONDS = 0.2


class Drive:
    """One turn under way. `events` is the loop; `put` may be called from any thread."""

    def __init__(self, transport: Transport, machine: TurnMachine, *, handlers: Handlers, story: Story) -> None:
        self.machine = machine
        self.story = story
        self._transport = transport
        self._handlers = handlers
        self._inbox: queue.SimpleQueue[Input] = queue.SimpleQueue()
        self._timers: dict[str, tuple[float, Input]] = {}
        self._readers: dict[int, _Reader] = {}
        self._running: dict[str, Started] = {}
        self._posting: set[threading.Event] = set()
        self._crew = Crew("turn")

    def put(self, input_: Input) -> None:
        """Hands the machine something that happened."""
        self._inbox.put(input_)

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
                reader = _Reader(self._transport, effect, self.put, self._raise_here)
                self._readers[effect.attempt] = reader
                reader.start()
            case CloseStream():
                reading = self._readers.get(effect.attempt)
                if reading is not None:
                    reading.stop()
            case StartTimer():
                self._start_timer(effect.timer.name, effect.seconds, lambda machine: machine.timer(effect.timer))
            case PostRun():
                self._do(lambda: self._post_run(effect))
            case PostStop():
                self._do(lambda: self._post_stop(effect))
            case FetchChat():
                self._do(lambda: self._fetch(effect))
            case CancelTool():
                if started := self._running.pop(effect.id, None):
                    started.cancel()
            case PostResult():
                done = threading.Event()
                self._posting.add(done)
                self._do(lambda: self._post_result(effect, done))
            case PostDecision():
                self._do(lambda: self._post_decision(effect))
            case Emit() | RunTool() | Settle():
                raise AssertionError("told to the caller, not acted on")

    def _do(self, job: Callable[[], object]) -> None:
        self._crew.do(lambda: self._raise_here(job))

    def _raise_here(self, job: Callable[[], object]) -> None:
        """Runs the job; what it should not have raised (a handler's SystemExit too) is raised where the caller is."""
        try:
            job()
        except BaseException as error:
            failure = error

            def fail(_: TurnMachine) -> list[Effect]:
                raise failure

            self.put(fail)

    def _post_run(self, effect: PostRun) -> None:
        try:
            reply = self._transport.send(post_run(effect, self._transport.config))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.refused(failure))
        else:
            self.put(lambda machine: self._accepted(machine, reply))

    def _accepted(self, machine: TurnMachine, reply: object) -> list[Effect]:
        self.story.began(reply)
        return machine.accepted(reply)

    def _post_stop(self, effect: PostStop) -> None:
        try:
            self._transport.send(api.STOP_CHAT.call(chat_id=effect.chat_id))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.stop_failed(failure))

    def _fetch(self, effect: FetchChat) -> None:
        try:
            chat, messages = self._transport.run(flows.chat_with_messages(effect.chat_id))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.fetch_failed(effect.seq, failure))
        else:
            self.put(lambda machine: machine.fetched(effect.seq, chat, messages))

    def _post_result(self, effect: PostResult, done: threading.Event) -> None:
        try:
            self._transport.send(post_result(effect, failed=self._handlers.has_failed(effect.id)))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.result_failed(effect.id, failure))
        else:
            self.put(lambda machine: machine.result_posted(effect.id))
        finally:
            self._posting.discard(done)
            done.set()

    def _post_decision(self, effect: PostDecision) -> None:
        try:
            self._transport.send(post_decision(effect))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.decision_failed(effect.id, failure))

    def _run_tool(self, effect: RunTool) -> None:
        started = self._handlers.start(effect, chat_id=self.machine.chat_id or "", tell=self._progress)
        self._running[effect.id] = started
        if (seconds := self._handlers.timeout_seconds) is not None:
            self._start_timer(f"tool {effect.id}", seconds, lambda machine: self._time_out(machine, started))

        def job() -> None:
            result = started.run_sync()
            self.put(lambda machine: self._finish(machine, started, result))

        self._do(job)

    def _finish(self, machine: TurnMachine, started: Started, result: str) -> list[Effect]:
        """The first result counts: the handler's, or that it took too long."""
        if machine.calls.get(started.effect.id) is not Call.RUNNING:
            return []
        return machine.tool_finished(started.effect.id, result)

    def _time_out(self, machine: TurnMachine, started: Started) -> list[Effect]:
        if machine.calls.get(started.effect.id) is not Call.RUNNING:
            return []
        started.cancel()
        return self._finish(machine, started, started.timed_out())

    def _start_timer(self, name: str, seconds: float, then: Input) -> None:
        self._timers[name] = (time.monotonic() + seconds, then)

    def _progress(self, told: Emit) -> None:
        self.put(lambda _: [told])

    # -- waiting and ending ----------------------------------------------------------------------------------------

    def _next(self) -> Input:
        """The next input, or the next timer to fall due."""
        name = min(self._timers, default=None, key=lambda each: self._timers[each][0])
        wait = 3600.0 if name is None else max(0.0, self._timers[name][0] - time.monotonic())
        try:
            return self._inbox.get(timeout=wait)  # always a timeout: a bare get cannot be interrupted on Windows
        except queue.Empty:
            return (lambda machine: []) if name is None else self._timers.pop(name)[1]

    def _wait_for_posts(self) -> None:
        """The result of a handler that has run must not get lost with the turn."""
        for done in list(self._posting):
            done.wait(self._transport.config.timeout_seconds)

    def _end(self, *, settled: bool) -> None:
        self.machine.leave()  # nothing more than its books: what was under way is left, the effects are done here
        for started in self._running.values():
            started.cancel()
        for reader in self._readers.values():
            reader.stop()
        timeout = JOIN_SECONDS if settled else LEAVE_SECONDS
        for reader in self._readers.values():
            reader.join(timeout)
        self._crew.dismiss(timeout_seconds=LEAVE_SECONDS)


class _Reader(threading.Thread):
    """One attempt to read the chat's stream."""

    def __init__(
        self,
        transport: Transport,
        effect: OpenStream,
        put: Post,
        guard: Callable[[Callable[[], object]], None],
    ) -> None:
        super().__init__(daemon=True, name=f"agentkit-stream-{effect.attempt}")
        self._guard = guard
        self._transport = transport
        self._effect = effect
        self._put = put
        self._lock = threading.Lock()
        self._incoming: Incoming | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Ends the reading, from any thread."""
        with self._lock:
            self._is_stopped = True
            incoming = self._incoming
        if incoming is not None:
            incoming.abort()

    def run(self) -> None:
        """What the thread does."""
        self._guard(self._read)

    def _read(self) -> None:
        attempt, failure = self._effect.attempt, None
        try:
            path, query = stream_path(self._effect)
            with self._transport.stream(path, query=query, quiet_seconds=given_up_after(self._transport)) as incoming:
                with self._lock:
                    self._incoming = incoming
                    if self._is_stopped:
                        return
                self._put(lambda machine: machine.stream_opened(attempt))
                for chunk in incoming.response.iter_bytes():
                    self._tell(incoming.reader.feed(chunk))
                self._tell(incoming.reader.end())
        except AgentKitError as error:
            failure = error
        if not self._is_stopped:
            self._put(lambda machine: machine.stream_lost(attempt, failure))

    def _tell(self, items: list[Item]) -> None:
        if items and not self._is_stopped:
            self._put(lambda machine: hear(machine, self._effect.attempt, items))


def given_up_after(transport: Transport | AsyncTransport) -> float:
    """How long a stream may be silent: the link hangs up then (protocol/link.py); it bounds the beginning, too."""
    return 2 * transport.config.quiet_seconds


def hear(machine: TurnMachine, attempt: int, items: list[Item]) -> list[Effect]:
    """What one piece of the stream says, line by line."""
    effects: list[Effect] = []
    for item in items:
        match item:
            case BadLine():
                effects += machine.bad_event(attempt, item.to_error())
            case line:
                effects += machine.wire(attempt, line)
    return effects
