"""The task driver of a turn: the same inbox, machine and loop as `drive_sync`, in an anyio task group.

Works under asyncio and trio. Sync handlers run on worker threads; async ones are cancelled when nobody waits for them.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel

from agentkit.client.crew import Crew
from agentkit.client.drive_sync import Input
from agentkit.client.endings import Ending, Finished, Taken, Unknown
from agentkit.client.handlers import Handlers, Started
from agentkit.client.judging import Judges
from agentkit.client.loop import given_up_after, hear
from agentkit.client.requests import (
    allow,
    fetch_chat,
    post_decision,
    post_result,
    post_run,
    post_unknown,
    stream_path,
)
from agentkit.client.transport import AsyncTransport
from agentkit.client.uploads import attach
from agentkit.errors import AgentKitError, APIError, ConflictError
from agentkit.protocol import api, endpoint
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
from agentkit.protocol.lines import Item
from agentkit.protocol.turn import TurnMachine

__all__ = ["AsyncDrive"]

logger = logging.getLogger("agentkit.turn")

LEAVE_SECONDS = 2.0


class AsyncDrive:
    """One turn under way. `run` is the loop; `put` is called from the loop's thread."""

    def __init__(
        self,
        transport: AsyncTransport,
        machine: TurnMachine,
        *,
        handlers: Handlers,
        story: Story,
        judges: Judges | None = None,
    ) -> None:
        self.machine = machine
        self._judges = judges or Judges({})
        self.story = story
        self._transport = transport
        self._handlers = handlers
        self._send, self._receive = anyio.create_memory_object_stream[Input](math.inf)
        self._streams: dict[int, anyio.CancelScope] = {}
        self._timers: dict[str, tuple[float, Input]] = {}
        self._running: dict[str, tuple[Started, anyio.CancelScope]] = {}
        self._crew = Crew("handler")
        self._posting = 0
        self._posted = anyio.Event()

    def put(self, input_: Input) -> None:
        """Hands the machine something that happened; after the turn's end nobody wants to know."""
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._send.send_nowait(input_)

    async def run(self, begin: Input, tell: Callable[[TurnEvent], Awaitable[None]]) -> None:
        """Runs the turn and tells its events, RunFinished last. Being cancelled is leaving: the run goes on."""
        self._thread, self._token = threading.get_ident(), anyio.lowlevel.current_token()
        try:
            async with anyio.create_task_group() as tasks:
                await self._loop(tasks, begin, tell)
                tasks.cancel_scope.cancel()
        finally:
            self.machine.leave()  # nothing more than its books: what was under way is left
            for started, _ in self._running.values():
                started.cancel()
            self._crew.dismiss(timeout_seconds=0)  # this is an event loop: no waiting
            self._send.close()
            self._receive.close()

    async def _loop(
        self, tasks: anyio.abc.TaskGroup, begin: Input, tell: Callable[[TurnEvent], Awaitable[None]]
    ) -> None:
        todo = begin(self.machine)
        while True:
            for effect in todo:
                match effect:
                    case Emit():
                        for event in self.story.tell(effect):
                            await tell(event)
                    case RunTool():
                        self._start_tool(tasks, effect)
                        for event in self.story.started(effect):
                            await tell(event)
                    case Settle():
                        await self._wait_for_posts()
                        for event in self.story.finish(effect):
                            await tell(event)
                        return
                    case _:
                        self._act(tasks, effect)
            input_ = await self._next()
            todo = input_(self.machine)

    async def _next(self) -> Input:
        """The next input, or the next timer to fall due. Not a task per timer: each line of a stream starts one."""
        name = min(self._timers, default=None, key=lambda each: self._timers[each][0])
        with anyio.CancelScope(deadline=math.inf if name is None else self._timers[name][0]):
            return await self._receive.receive()
        return (lambda machine: []) if name is None else self._timers.pop(name)[1]

    # -- effects ---------------------------------------------------------------------------------------------------

    def _act(self, tasks: anyio.abc.TaskGroup, effect: Effect) -> None:
        logger.debug("chat %s: %s", self.machine.chat_id, type(effect).__name__)
        match effect:
            case OpenStream():
                scope = self._streams[effect.attempt] = anyio.CancelScope()
                tasks.start_soon(self._read, effect, scope)
            case CloseStream():
                if effect.attempt in self._streams:
                    self._streams.pop(effect.attempt).cancel()
            case StartTimer():
                due = anyio.current_time() + effect.seconds
                self._timers[effect.timer.name] = (due, lambda machine: machine.timer(effect.timer))
            case PostRun():
                tasks.start_soon(self._post_run, effect)
            case PostStop():
                tasks.start_soon(self._post_stop, effect)
            case FetchChat():
                tasks.start_soon(self._fetch, effect)
            case CancelTool():
                if effect.id in self._running:
                    started, scope = self._running.pop(effect.id)
                    started.cancel()
                    scope.cancel()
            case PostResult():
                self._posting += 1
                tasks.start_soon(self._post_result, effect)
            case PostUnknown():
                tasks.start_soon(self._post_unknown, effect)
            case Judge():
                tasks.start_soon(self._judge, effect)
            case Allow():
                tasks.start_soon(self._allow, effect)
            case PostDecision():
                tasks.start_soon(self._post_decision, effect)
            case Emit() | RunTool() | Settle():
                raise AssertionError("told to the caller, not acted on")

    async def _read(self, effect: OpenStream, scope: anyio.CancelScope) -> None:
        attempt, failure = effect.attempt, None
        with scope:
            try:
                path, query = stream_path(effect)
                quiet = given_up_after(self._transport)
                async with self._transport.stream(path, query=query, quiet_seconds=quiet) as incoming:
                    self.put(lambda machine: machine.stream_opened(attempt))
                    async for chunk in incoming.response.aiter_bytes():
                        self._hear(attempt, incoming.reader.feed(chunk))
                    self._hear(attempt, incoming.reader.end())
            except AgentKitError as error:
                failure = error
            self.put(lambda machine: machine.stream_lost(attempt, failure))

    def _hear(self, attempt: int, items: list[Item]) -> None:
        if items:
            self.put(lambda machine: hear(machine, attempt, items))

    async def _post_run(self, effect: PostRun) -> None:
        try:
            reply = await self._transport.send(post_run(effect, self._transport.config))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.refused(failure))
        else:
            self.put(lambda machine: self._accepted(machine, reply))

    def _accepted(self, machine: TurnMachine, reply: object) -> list[Effect]:
        self.story.began(reply)
        return machine.accepted(reply)

    async def _post_stop(self, effect: PostStop) -> None:
        try:
            await self._transport.send(api.STOP_CHAT.call(chat_id=effect.chat_id))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.stop_failed(failure))

    async def _fetch(self, effect: FetchChat) -> None:
        try:
            found = await self._transport.run(fetch_chat(effect))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.fetch_failed(effect.seq, failure))
        else:
            self.put(lambda machine: machine.fetched(effect.seq, *found))

    async def _post_result(self, effect: PostResult) -> None:
        handlers, id_ = self._handlers, effect.id
        call = self._result(effect)
        try:
            try:
                await self._transport.send(call)
            except APIError as error:
                if (said := handlers.instead(effect, error)) is None:
                    raise
                call = self._result(said)
                await self._transport.send(call)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(LEAVE_SECONDS, shield=True), suppress(AgentKitError):
                await self._transport.send(call)  # the handler has run: once more, and its key makes that one answer
                handlers.posted(id_)
            raise
        except AgentKitError as error:
            failure = error
            if isinstance(error, ConflictError):
                await self._note_posted(id_)  # it has another result
            self.put(lambda machine: machine.result_failed(effect.id, failure))
        else:
            await self._note_posted(id_)
            self.put(lambda machine: machine.result_posted(effect.id))
        finally:
            self._posting -= 1
            self._posted.set()

    def _result(self, effect: PostResult) -> endpoint.Call[None]:
        return post_result(effect, failed=self._handlers.has_failed(effect.id), files=self._handlers.files(effect.id))

    async def _note_posted(self, invocation_id: str) -> None:
        if self._handlers.journal.waits:
            await self._crew.call(lambda: self._handlers.posted(invocation_id))
        else:
            self._handlers.posted(invocation_id)

    async def _post_unknown(self, effect: PostUnknown) -> None:
        untellable = self._handlers.untellable(effect.id, effect.note)
        try:
            await self._transport.send(post_unknown(effect))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.unknown_failed(effect.id, failure, untellable))
        else:
            self.put(lambda machine: machine.unknown_told(effect.id))

    async def _judge(self, effect: Judge) -> None:
        needs_person = await self._judges.start(effect).run_async(self._crew)
        self.put(lambda machine: machine.judged(effect.id, needs_person=needs_person))

    async def _allow(self, effect: Allow) -> None:
        try:
            await self._transport.send(allow(effect))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.allow_failed(effect.id, failure))
        else:
            self.put(lambda machine: machine.allowed(effect.id))

    async def _post_decision(self, effect: PostDecision) -> None:
        try:
            await self._transport.send(post_decision(effect))
        except AgentKitError as error:
            failure = error
            self.put(lambda machine: machine.decision_failed(effect.id, failure))

    def _start_tool(self, tasks: anyio.abc.TaskGroup, effect: RunTool) -> None:
        started = self._handlers.start(effect, chat_id=self.machine.chat_id or "", tell=self._progress)
        scope = anyio.CancelScope()
        self._running[effect.id] = (started, scope)
        tasks.start_soon(self._run_tool, started, scope)

    async def _run_tool(self, started: Started, scope: anyio.CancelScope) -> None:
        with scope:
            ending = await started.run_async(self._crew, lambda files: self._transport.run(attach(files)))
            self.put(lambda machine: self._finish(machine, started, ending))
            if started.wants_stop:
                self.put(lambda machine: machine.stop())
            if isinstance(ending, Taken):
                await started.until_free(self._crew)
                self.put(lambda machine: machine.tool_free(started.effect))

    def _finish(self, machine: TurnMachine, started: Started, ending: Ending) -> list[Effect]:
        match ending:
            case Finished(result):
                return machine.tool_finished(started.effect.id, result)
            case Unknown(why):
                return machine.tool_unknown(started.effect.id, why)
            case Taken():
                return machine.tool_taken(started.effect.id)

    def _progress(self, told: Emit) -> None:
        """A handler's word, from the loop's thread or another; nobody listens to one that was left behind."""

        def put() -> None:
            self.put(lambda _: [told])

        if threading.get_ident() == self._thread:
            put()
            return
        with suppress(RuntimeError):  # the event loop is over, too
            anyio.from_thread.run_sync(put, token=self._token)

    async def _wait_for_posts(self) -> None:
        """The result of a handler that has run must not get lost with the turn."""
        with anyio.move_on_after(self._transport.config.timeout_seconds):
            while self._posting:
                self._posted = anyio.Event()
                await self._posted.wait()
