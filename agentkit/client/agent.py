"""An agent, and its async twin: one conversation at a time with the platform's agent of that definition."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Generic, TypeVar, overload

from pydantic_core import to_json

from agentkit.client import decisions, uploads
from agentkit.client.callbacks import Callbacks, ToolCallInfo
from agentkit.client.conversation import Conversation
from agentkit.client.decisions import AlwaysLike
from agentkit.client.hooks import H, Hook, Registering
from agentkit.client.results import WhenParked
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.client.turns import Ask, AsyncTurn, Turn
from agentkit.client.uploads import UploadFileOptions
from agentkit.client.watching import watch, watch_async
from agentkit.protocol import api, flows
from agentkit.protocol.events import ChatChanged, MessageChanged, TurnEvent
from agentkit.tools.result import ToolOutput
from agentkit.wire import (
    Chat,
    ChatMessage,
    FileRef,
    Interrupt,
    SubmitToolResult,
)

__all__ = ["Agent", "AsyncAgent"]

T = TypeVar("T")


def _submission(invocation_id: str, result_or_action: Any) -> flows.Flow[None]:
    """Text as it is; anything else as JSON text, a widget action too; files are uploaded first (protocol.md 6.5)."""
    is_output = isinstance(result_or_action, ToolOutput)
    result, files = (result_or_action.text, result_or_action.files) if is_output else (result_or_action, ())
    attached = yield from uploads.attach(files)
    text = result if isinstance(result, str) else to_json(result).decode()
    body = SubmitToolResult.parse({"result": text} | ({"attachments": attached} if attached else {}))
    yield from flows.once(api.SUBMIT_TOOL_RESULT.call(body, invocation_id=invocation_id))


def _response(action: str | Mapping[str, Any], form_data: Mapping[str, Any] | None) -> dict[str, Any]:
    done = {"type": action} if isinstance(action, str) else dict(action)
    return {"action": done, "form_data": None if form_data is None else dict(form_data)}


class Agent(Generic[T]):
    """A conversation with an agent. Made by `client.agent(...)` or `client.agents.create(...)`.

    >>> from agentkit import Runtime
    >>> with Runtime() as runtime:
    ...     agent = runtime.client().agent({"core_app": {"ref": "offline/extract"}})
    ...     message = agent.send_message("Total: 12.50 EUR")
    >>> message.role.value
    'assistant'
    """

    def __init__(self, transport: Transport, conversation: Conversation[T]) -> None:
        self._transport = transport
        self._conversation = conversation

    @property
    def chat_id(self) -> str | None:
        """The chat, once the first message was taken."""
        return self._conversation.chat_id

    # -- turns -----------------------------------------------------------------------------------------------------

    def stream(
        self,
        text: str,
        files: Sequence[Any] | None = None,
        *,
        when_parked: WhenParked = "wait",
        stream: bool | None = None,
    ) -> Turn[T]:
        """Sends a message when the result is first iterated or asked; see `Turn`.

        `files`: bytes, base64 text, data URIs, or references of earlier uploads. `when_parked`: what to do when the
        run waits for a person: "wait" for the answer, "return" with what is pending, or "raise" ApprovalNeededError.
        `stream` False polls instead of holding a connection.
        """
        return self._turn(text, files or (), when_parked=when_parked, stream=stream)

    def resume(self, *, when_parked: WhenParked = "wait", stream: bool | None = None) -> Turn[T]:
        """Takes up what the chat does already: nothing is sent, client tools that wait are run."""
        self._conversation.known_chat()
        return self._turn(None, [], when_parked=when_parked, stream=stream)

    def send_message(
        self,
        text: str,
        files: Sequence[Any] | None = None,
        on_message: Callable[[ChatMessage], Any] | None = None,
        on_tool_call: Callable[[ToolCallInfo], Any] | None = None,
        *,
        on_chat: Callable[[Chat], Any] | None = None,
        on_event: Callable[[TurnEvent], Any] | None = None,
        when_parked: WhenParked = "wait",
        stream: bool | None = None,
    ) -> ChatMessage | None:
        """Sends a message and waits for the end of its run; returns the agent's last message.

        `on_message` gets every message but yours, whole, as it grows; `on_tool_call` every client call, once. Raises
        RunFailedError, RunLostError, the APIError of a refusal; a stopped run returns what was said until then.
        """
        with self.stream(text, files, when_parked=when_parked, stream=stream) as turn:
            turn.notify(Callbacks(on_message, on_chat, on_tool_call, on_event))
            return turn.message()

    def run(
        self,
        text: str,
        files: Sequence[Any] | None = None,
        *,
        on_event: Callable[[TurnEvent], Any] | None = None,
        when_parked: WhenParked = "wait",
        stream: bool | None = None,
    ) -> T | None:
        """Sends a message and returns the finish tool's result: typed where an `output_type` was given.

        None where the agent finished without one and no output type was given; OutputError where one was.
        """
        with self.stream(text, files, when_parked=when_parked, stream=stream) as turn:
            turn.notify(Callbacks(on_event=on_event))
            return turn.output()

    # -- hooks -----------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str) -> Registering: ...

    @overload
    def on(self, event: str, function: H) -> H: ...

    def on(self, event: str, function: Hook | None = None) -> Any:
        """Has the function asked here about an event of the agent's runs: `@agent.on("agent.tool_call")`.

        It gets a `HookPayload` and returns None, a `HookResponse` or its dict. Events: agent.start (the message),
        agent.tool_call (a client tool's arguments), agent.tool_result (what is sent for it), agent.turn_complete,
        agent.error, agent.complete, agent.idle. A function that raises denies the call that it was asked about;
        elsewhere the error is raised to you.
        """
        if function is not None:
            self._conversation.hooks.add(event, function)
            return function
        return partial(self.on, event)

    # -- watching --------------------------------------------------------------------------------------------------

    def stream_messages(self, chat_id: str | None = None) -> Iterator[ChatMessage]:
        """The agent's messages of the current (or last) run as they grow; ends with the run. Runs no tool."""
        for event in self._watch(chat_id):
            if isinstance(event, MessageChanged) and event.message.role == "assistant":
                yield event.message

    def stream_chat(self, chat_id: str | None = None) -> Iterator[Chat]:
        """The chat whenever it changes, until the current run is over. Runs no tool."""
        for event in self._watch(chat_id):
            if isinstance(event, ChatChanged):
                yield event.chat

    def stream_all(
        self,
        on_chat: Callable[[Chat], Any] | None = None,
        on_message: Callable[[ChatMessage], Any] | None = None,
        on_tool_call: Callable[[ToolCallInfo], Any] | None = None,
    ) -> None:
        """Follows the current run to its end with these callbacks; client tools with a handler here are run."""
        with self.resume() as turn:
            turn.notify(Callbacks(on_message, on_chat, on_tool_call))

    # -- the chat --------------------------------------------------------------------------------------------------

    def get_chat(self, chat_id: str | None = None) -> Chat:
        """The chat with its messages (GET /chats/{id})."""
        return self._transport.send(api.GET_CHAT.call(chat_id=self._conversation.known_chat(chat_id)))

    def stop_chat(self, chat_id: str | None = None) -> None:
        """Stops the current run and its open tools; nothing to do without a chat."""
        found = chat_id or self.chat_id
        if found is not None:
            self._transport.send(api.STOP_CHAT.call(chat_id=found))

    def reset(self) -> None:
        """Leaves the chat: the next message starts a new one. What the old chat does goes on without us."""
        self._conversation.reset()

    def upload_file(self, data: Any, filename: str | None = None) -> FileRef:
        """Uploads bytes, base64 text or a data URI; returns the reference to attach to messages."""
        upload = uploads.from_data(data, UploadFileOptions(filename=filename))
        return flows.as_ref(self._transport.run(flows.upload(upload)))

    # -- calls and questions ---------------------------------------------------------------------------------------

    def submit_tool_result(self, tool_id: str, result_or_action: Any) -> None:
        """Answers a client tool (text, anything JSON carries, a `ToolOutput` with files), or a widget.

        A widget's answer is `{"action": ..., "form_data": ...}`.
        """
        self._transport.run(_submission(tool_id, result_or_action))

    def respond(
        self,
        invocation_id: str,
        action: str | Mapping[str, Any],
        form_data: Mapping[str, Any] | None = None,
    ) -> None:
        """Answers a widget: one of its actions (its type, or `{"type": ..., "payload": ...}`), and the fields' values.

        `pending` lists widgets that wait, `interrupt.widget` is what to show. InvalidInputError: a required field is
        missing, or there is no such action or choice. `reject` closes it without an answer.
        """
        self._transport.run(_submission(invocation_id, _response(action, form_data)))

    def pending(self, chat_id: str | None = None) -> list[Interrupt]:
        """What waits for a person; `resource_id` is the invocation, `meta` holds tool name and arguments."""
        return self._transport.run(flows.pending_interrupts(self._conversation.known_chat(chat_id)))

    def approve(
        self,
        invocation_id: str,
        args: Mapping[str, Any] | None = None,
        note: str = "",
        *,
        by: str | None = None,
        always: AlwaysLike = None,
        arguments_hash: str | None = None,
    ) -> None:
        """Approves a call, with other arguments where `args` is given. AlreadyResolvedError: somebody was first.

        `by`: who decides, where the key does not prove it. `always`: True, or an `Always`: later calls need no approval
        either. `arguments_hash`: of what was shown; ConflictError if the call is another one by now.
        """
        decided = decisions.approve(invocation_id, args, note, by=by, always=always, arguments_hash=arguments_hash)
        self._transport.send(decided)

    def reject(
        self, invocation_id: str, reason: str = "", *, by: str | None = None, arguments_hash: str | None = None
    ) -> None:
        """Rejects a call; the model reads the reason. AlreadyResolvedError: somebody was first."""
        self._transport.send(decisions.reject(invocation_id, reason, by=by, arguments_hash=arguments_hash))

    def answer(
        self,
        invocation_id: str,
        data: Any,
        note: str = "",
        *,
        by: str | None = None,
        arguments_hash: str | None = None,
    ) -> None:
        """Answers in the tool's place: the call is not run, and `data` (text, or any JSON) is its result.

        Of a call whose outcome is unknown: what came of it. `arguments_hash` proves which arguments were shown.
        Raises UsageError where nothing is asked about the call, ConflictError where it has other arguments by now.
        """
        chat_id = self._conversation.known_chat()
        flow = decisions.answer(chat_id, invocation_id, data, note, by=by, arguments_hash=arguments_hash)
        self._transport.run(flow)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _turn(self, text: str | None, files: Sequence[Any], *, when_parked: WhenParked, stream: bool | None) -> Turn[T]:
        streams = self._transport.config.stream if stream is None else stream
        return Turn(self._transport, self._conversation, Ask(text, files, streams, when_parked))

    def _watch(self, chat_id: str | None) -> Iterator[TurnEvent]:
        return watch(self._transport, self._conversation.observer(self._conversation.known_chat(chat_id)))


class AsyncAgent(Generic[T]):
    """The async twin of `Agent`: the same methods, awaited; for asyncio and trio."""

    def __init__(self, transport: AsyncTransport, conversation: Conversation[T]) -> None:
        self._transport = transport
        self._conversation = conversation

    @property
    def chat_id(self) -> str | None:
        """The chat, once the first message was taken."""
        return self._conversation.chat_id

    # -- turns -----------------------------------------------------------------------------------------------------

    def stream(
        self,
        text: str,
        files: Sequence[Any] | None = None,
        *,
        when_parked: WhenParked = "wait",
        stream: bool | None = None,
    ) -> AsyncTurn[T]:
        """Sends a message when the result is first iterated or asked; see `Turn`.

        `files`: bytes, base64 text, data URIs, or references of earlier uploads. `when_parked`: what to do when the
        run waits for a person: "wait" for the answer, "return" with what is pending, or "raise" ApprovalNeededError.
        `stream` False polls instead of holding a connection.
        """
        return self._turn(text, files or (), when_parked=when_parked, stream=stream)

    def resume(self, *, when_parked: WhenParked = "wait", stream: bool | None = None) -> AsyncTurn[T]:
        """Takes up what the chat does already: nothing is sent, client tools that wait are run."""
        self._conversation.known_chat()
        return self._turn(None, [], when_parked=when_parked, stream=stream)

    async def send_message(
        self,
        text: str,
        files: Sequence[Any] | None = None,
        on_message: Callable[[ChatMessage], Any] | None = None,
        on_tool_call: Callable[[ToolCallInfo], Any] | None = None,
        *,
        on_chat: Callable[[Chat], Any] | None = None,
        on_event: Callable[[TurnEvent], Any] | None = None,
        when_parked: WhenParked = "wait",
        stream: bool | None = None,
    ) -> ChatMessage | None:
        """Sends a message and waits for the end of its run; returns the agent's last message.

        `on_message` gets every message but yours, whole, as it grows; `on_tool_call` every client call, once. Raises
        RunFailedError, RunLostError, the APIError of a refusal; a stopped run returns what was said until then.
        """
        async with self.stream(text, files, when_parked=when_parked, stream=stream) as turn:
            await turn.notify(Callbacks(on_message, on_chat, on_tool_call, on_event))
            return await turn.message()

    async def run(
        self,
        text: str,
        files: Sequence[Any] | None = None,
        *,
        on_event: Callable[[TurnEvent], Any] | None = None,
        when_parked: WhenParked = "wait",
        stream: bool | None = None,
    ) -> T | None:
        """Sends a message and returns the finish tool's result: typed where an `output_type` was given.

        None where the agent finished without one and no output type was given; OutputError where one was.
        """
        async with self.stream(text, files, when_parked=when_parked, stream=stream) as turn:
            await turn.notify(Callbacks(on_event=on_event))
            return await turn.output()

    # -- hooks -----------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str) -> Registering: ...

    @overload
    def on(self, event: str, function: H) -> H: ...

    def on(self, event: str, function: Hook | None = None) -> Any:
        """See `Agent.on`; the function may be async. Not awaited."""
        if function is not None:
            self._conversation.hooks.add(event, function)
            return function
        return partial(self.on, event)

    # -- watching --------------------------------------------------------------------------------------------------

    async def stream_messages(self, chat_id: str | None = None) -> AsyncIterator[ChatMessage]:
        """The agent's messages of the current (or last) run as they grow; ends with the run. Runs no tool."""
        async with aclosing(self._watch(chat_id)) as events:
            async for event in events:
                if isinstance(event, MessageChanged) and event.message.role == "assistant":
                    yield event.message

    async def stream_chat(self, chat_id: str | None = None) -> AsyncIterator[Chat]:
        """The chat whenever it changes, until the current run is over. Runs no tool."""
        async with aclosing(self._watch(chat_id)) as events:
            async for event in events:
                if isinstance(event, ChatChanged):
                    yield event.chat

    async def stream_all(
        self,
        on_chat: Callable[[Chat], Any] | None = None,
        on_message: Callable[[ChatMessage], Any] | None = None,
        on_tool_call: Callable[[ToolCallInfo], Any] | None = None,
    ) -> None:
        """Follows the current run to its end with these callbacks; client tools with a handler here are run."""
        async with self.resume() as turn:
            await turn.notify(Callbacks(on_message, on_chat, on_tool_call))

    # -- the chat --------------------------------------------------------------------------------------------------

    async def get_chat(self, chat_id: str | None = None) -> Chat:
        """The chat with its messages (GET /chats/{id})."""
        return await self._transport.send(api.GET_CHAT.call(chat_id=self._conversation.known_chat(chat_id)))

    async def stop_chat(self, chat_id: str | None = None) -> None:
        """Stops the current run and its open tools; nothing to do without a chat."""
        found = chat_id or self.chat_id
        if found is not None:
            await self._transport.send(api.STOP_CHAT.call(chat_id=found))

    def reset(self) -> None:
        """Leaves the chat: the next message starts a new one. The old chat goes on without us. Not awaited."""
        self._conversation.reset()

    async def upload_file(self, data: Any, filename: str | None = None) -> FileRef:
        """Uploads bytes, base64 text or a data URI; returns the reference to attach to messages."""
        upload = uploads.from_data(data, UploadFileOptions(filename=filename))
        return flows.as_ref(await self._transport.run(flows.upload(upload)))

    # -- calls and questions ---------------------------------------------------------------------------------------

    async def submit_tool_result(self, tool_id: str, result_or_action: Any) -> None:
        """Answers a client tool (text, anything JSON carries, a `ToolOutput` with files), or a widget.

        A widget's answer is `{"action": ..., "form_data": ...}`.
        """
        await self._transport.run(_submission(tool_id, result_or_action))

    async def respond(
        self,
        invocation_id: str,
        action: str | Mapping[str, Any],
        form_data: Mapping[str, Any] | None = None,
    ) -> None:
        """Answers a widget: one of its actions (its type, or `{"type": ..., "payload": ...}`), and the fields' values.

        `pending` lists widgets that wait, `interrupt.widget` is what to show. InvalidInputError: a required field is
        missing, or there is no such action or choice. `reject` closes it without an answer.
        """
        await self._transport.run(_submission(invocation_id, _response(action, form_data)))

    async def pending(self, chat_id: str | None = None) -> list[Interrupt]:
        """What waits for a person; `resource_id` is the invocation, `meta` holds tool name and arguments."""
        return await self._transport.run(flows.pending_interrupts(self._conversation.known_chat(chat_id)))

    async def approve(
        self,
        invocation_id: str,
        args: Mapping[str, Any] | None = None,
        note: str = "",
        *,
        by: str | None = None,
        always: AlwaysLike = None,
        arguments_hash: str | None = None,
    ) -> None:
        """Approves a call, with other arguments where `args` is given. AlreadyResolvedError: somebody was first.

        `by`: who decides, where the key does not prove it. `always`: True, or an `Always`: later calls need no approval
        either. `arguments_hash`: of what was shown; ConflictError if the call is another one by now.
        """
        decided = decisions.approve(invocation_id, args, note, by=by, always=always, arguments_hash=arguments_hash)
        await self._transport.send(decided)

    async def reject(
        self, invocation_id: str, reason: str = "", *, by: str | None = None, arguments_hash: str | None = None
    ) -> None:
        """Rejects a call; the model reads the reason. AlreadyResolvedError: somebody was first."""
        await self._transport.send(decisions.reject(invocation_id, reason, by=by, arguments_hash=arguments_hash))

    async def answer(
        self,
        invocation_id: str,
        data: Any,
        note: str = "",
        *,
        by: str | None = None,
        arguments_hash: str | None = None,
    ) -> None:
        """Answers in the tool's place: the call is not run, and `data` (text, or any JSON) is its result.

        Of a call whose outcome is unknown: what came of it. `arguments_hash` proves which arguments were shown.
        Raises UsageError where nothing is asked about the call, ConflictError where it has other arguments by now.
        """
        chat_id = self._conversation.known_chat()
        await self._transport.run(
            decisions.answer(chat_id, invocation_id, data, note, by=by, arguments_hash=arguments_hash)
        )

    # -- parts -----------------------------------------------------------------------------------------------------

    def _turn(
        self, text: str | None, files: Sequence[Any], *, when_parked: WhenParked, stream: bool | None
    ) -> AsyncTurn[T]:
        streams = self._transport.config.stream if stream is None else stream
        return AsyncTurn(self._transport, self._conversation, Ask(text, files, streams, when_parked))

    def _watch(self, chat_id: str | None) -> AsyncGenerator[TurnEvent]:
        return watch_async(self._transport, self._conversation.observer(self._conversation.known_chat(chat_id)))
