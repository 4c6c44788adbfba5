"""A turn in the caller's hands: an iterator of typed events that is also the way to its result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, get_args

import anyio
import anyio.abc
import anyio.to_thread

from agentkit.client.callbacks import Callbacks
from agentkit.client.conversation import Conversation
from agentkit.client.drive_async import AsyncDrive
from agentkit.client.drive_sync import Drive, Input
from agentkit.client.hooks import Asking, Watched, settle, settle_async, starting
from agentkit.client.results import Fold, TurnResult, WhenParked
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.client.uploads import attach
from agentkit.errors import UsageError
from agentkit.protocol.events import Story, TurnEvent
from agentkit.protocol.turn import TurnMachine
from agentkit.wire import ChatMessage, FileRef

__all__ = ["Ask", "AsyncTurn", "Turn"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a turn is to do. `text` None: take up what the chat does already."""

    text: str | None
    files: Sequence[Any]
    streams: bool
    when_parked: WhenParked

    def __post_init__(self) -> None:
        if self.when_parked not in get_args(WhenParked):
            raise UsageError(f"when_parked is one of {', '.join(get_args(WhenParked))}, not {self.when_parked!r}")


class _Turn(Generic[T]):
    """What both twins have: the machine, the story and the fold."""

    _machine: TurnMachine

    def __init__(self, conversation: Conversation[T], ask: Ask) -> None:
        self._conversation = conversation
        self._ask = ask
        self._fold: Fold[T] = Fold(conversation.definition)
        self._story = Story(chat_id=conversation.chat_id, sends=ask.text is not None, verdicts=conversation.verdicts)
        self._stop_wanted = False  # before there was anything to stop
        self._watched = Watched(conversation.hooks)

    @property
    def chat_id(self) -> str | None:
        """The chat, once it is known."""
        return self._story.chat_id

    @property
    def run_id(self) -> str | None:
        """The run, once it is known."""
        return self._story.run_id

    def _prepare(self, attached: Sequence[FileRef]) -> Input:
        """Makes the machine; returns its first input."""
        ask = self._ask
        self._machine = self._conversation.machine(ask.text, attached, stream=ask.streams, when_parked=ask.when_parked)
        if self._stop_wanted:
            return lambda turn: turn.stop()
        return (lambda turn: turn.resume()) if ask.text is None else (lambda turn: turn.send())

    def _starting(self) -> Asking[None]:
        """Asks the hooks about the message. Raises RunCanceledError."""
        if self._ask.text is not None:
            text = yield from starting(self._conversation.hooks, self._ask.text, chat_id=self.chat_id)
            self._ask = replace(self._ask, text=text)

    def _take(self, event: TurnEvent) -> TurnEvent:
        self._conversation.learn(self, self._machine)
        self._fold.take(event)
        return event

    def _last_message(self) -> ChatMessage | None:
        """The last assistant message; a stopped run's as far as it came."""
        stopped = self._fold.outcome == "canceled"
        return self._fold.result(when_parked=self._ask.when_parked, raises=not stopped).message


class Turn(_Turn[T]):
    """One exchange with the agent, as it happens.

    Iterate it, or ask for `result()`, which consumes what is left. Leaving the `with` block early stops listening, not
    the run; `stop()` stops the run. `stop`, from any thread; everything else in the thread that iterates.
    """

    def __init__(self, transport: Transport, conversation: Conversation[T], ask: Ask) -> None:
        super().__init__(conversation, ask)
        self._transport = transport
        self._drive: Drive | None = None
        self._events: Iterator[TurnEvent] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[TurnEvent]:
        return self

    def __next__(self) -> TurnEvent:
        if self._events is None:
            self._events = self._run()
        return next(self._events)

    def result(self) -> TurnResult[T]:
        """The turn's result, once it is over. Raises RunError and its kin where it did not end well."""
        self._consume()
        return self._fold.result(when_parked=self._ask.when_parked)

    def output(self) -> T | None:
        """The finish tool's result; None where the agent finished without one and no output type was given."""
        self._consume()
        return self._fold.output(when_parked=self._ask.when_parked)

    def message(self) -> ChatMessage | None:
        """The last assistant message; of a stopped run as far as it came."""
        self._consume()
        return self._last_message()

    def text(self) -> str:
        """The last assistant message's text."""
        return self.result().text

    def stop(self) -> None:
        """Stops the run; the turn then ends by itself with outcome `canceled`."""
        self._stop_wanted = True
        if self._drive is not None:
            self._drive.put(lambda machine: machine.stop())

    def close(self) -> None:
        """Stops listening. The run goes on; `agent.resume()` listens again."""
        events, self._events = self._events, iter(())
        if isinstance(events, Generator):
            events.close()

    def leave(self) -> None:
        """The same as `close`, from any thread: the turn then ends by itself with outcome `left`."""
        if self._drive is not None:
            self._drive.put(lambda machine: machine.leave())

    def notify(self, callbacks: Callbacks) -> None:
        """Consumes what is left, calling these."""
        for event in self:
            for job in callbacks.for_event(event):
                job()

    def _consume(self) -> None:
        for _ in self:
            pass

    def _run(self) -> Generator[TurnEvent, None, None]:
        self._conversation.begin(self)
        try:
            settle(self._starting())
            begin = self._prepare(self._transport.run(attach(self._ask.files)))
            drive = self._drive = Drive(
                self._transport,
                self._machine,
                handlers=self._conversation.handlers,
                story=self._story,
                judges=self._conversation.judges,
            )
            if self._stop_wanted:
                self.stop()
            with closing(drive.events(begin)) as events:
                for event in events:
                    self._take(event)
                    if settle(self._watched.ask(event)):
                        self.stop()
                    yield event
        finally:
            self._conversation.end(self)


def _only(error: BaseException) -> BaseException:
    """The exception in a group of one."""
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _only(inside[0]) if len(inside) == 1 else error


class AsyncTurn(_Turn[T]):
    """The async twin of `Turn`: enter it with `async with` and iterate it, or just await `result()`."""

    def __init__(self, transport: AsyncTransport, conversation: Conversation[T], ask: Ask) -> None:
        super().__init__(conversation, ask)
        self._transport = transport
        self._drive: AsyncDrive | None = None
        self._driving = anyio.CancelScope()
        self._stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._told: AsyncIterator[TurnEvent] | None = None

    async def __aenter__(self) -> Self:
        self._conversation.begin(self)
        try:
            await settle_async(self._starting())
            attached = await self._transport.run(attach(self._ask.files))
            if self._conversation.notes_calls and self._conversation.journal.waits:
                await anyio.to_thread.run_sync(self._conversation.journal.open)
            begin = self._prepare(attached)
            self._drive = AsyncDrive(
                self._transport,
                self._machine,
                handlers=self._conversation.handlers,
                story=self._story,
                judges=self._conversation.judges,
            )
            tell, listen = anyio.create_memory_object_stream[TurnEvent](0)
            self._told = listen
            self._stack.callback(listen.close)
            self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(self._run, self._drive, begin, tell)
        except BaseException:
            self._conversation.end(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        try:
            await self._stack.aclose()
        except BaseExceptionGroup as group:
            raise _only(group) from None  # as the sync twin raises it
        finally:
            self._conversation.end(self)

    def __aiter__(self) -> AsyncIterator[TurnEvent]:
        return self

    async def __anext__(self) -> TurnEvent:
        if self._told is None:
            raise UsageError("enter the turn first: async with agent.stream(...) as turn")
        event = self._take(await anext(self._told))
        if await settle_async(self._watched.ask(event)):
            await self.stop()
        return event

    async def result(self) -> TurnResult[T]:
        """The turn's result, once it is over. Raises RunError and its kin where it did not end well."""
        await self._consume()
        return self._fold.result(when_parked=self._ask.when_parked)

    async def output(self) -> T | None:
        """The finish tool's result; None where the agent finished without one and no output type was given."""
        await self._consume()
        return self._fold.output(when_parked=self._ask.when_parked)

    async def message(self) -> ChatMessage | None:
        """The last assistant message; of a stopped run as far as it came."""
        await self._consume()
        return self._last_message()

    async def text(self) -> str:
        """The last assistant message's text."""
        return (await self.result()).text

    async def stop(self) -> None:
        """Stops the run; the turn then ends by itself with outcome `canceled`."""
        self._stop_wanted = True
        if self._drive is not None:
            self._drive.put(lambda machine: machine.stop())

    async def close(self) -> None:
        """Stops listening. The run goes on; `agent.resume()` listens again."""
        if self._told is not None:
            self._driving.cancel()  # not the task group: whoever closes goes on
            self._conversation.end(self)

    def leave(self) -> None:
        """The same as `close`, without waiting: the turn then ends by itself with outcome `left`."""
        if self._drive is not None:
            self._drive.put(lambda machine: machine.leave())

    async def notify(self, callbacks: Callbacks) -> None:
        """Consumes what is left, calling these; what a callback returns is awaited where it can be."""
        async for event in self:
            for job in callbacks.for_event(event):
                result = job()
                if hasattr(result, "__await__"):
                    await result

    async def _consume(self) -> None:
        if self._told is None:  # nobody iterates: the whole turn happens here
            async with self:
                await self._consume()
            return
        async for _ in self:
            pass

    async def _run(self, drive: AsyncDrive, begin: Input, tell: anyio.abc.ObjectSendStream[TurnEvent]) -> None:
        with self._driving:
            async with tell:
                await drive.run(begin, tell.send)
