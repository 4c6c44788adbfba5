"""The ways to reach a platform that the tests of the client are run in: one text per scenario, six clients.

| way | client | platform |
|---|---|---|
| `memory-sync` | `Inference` | a `Runtime` in this process |
| `memory-asyncio`, `memory-trio` | `AsyncInference` in that event loop | a `Runtime` in the same loop |
| `socket-sync` | `Inference` | the server behind a socket |
| `socket-asyncio`, `socket-trio` | `AsyncInference` in that event loop | the server behind a socket |

The async clients live in a portal's event loop; `Plain` lets a test call them as if they were the sync ones, so a
scenario is written once and shows that the twins are alike.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from agentkit import AsyncInference, Inference, Runtime
from agentkit.client.config import ClientConfig
from agentkit.errors import AgentKitError
from agentkit.protocol.events import MessageChanged, RunFinished, TextDelta, TurnEvent
from agentkit.protocol.retry import RetryPolicy
from agentkit.testing import Gate, Scripted
from agentkit.wire import LLMDelta
from tests.runtime.serving import served

MEMORY = ("memory-sync", "memory-asyncio", "memory-trio")
SOCKET = ("socket-sync", "socket-asyncio", "socket-trio")
WAYS = (*MEMORY, *SOCKET)

AGENT: dict[str, Any] = {"core_app": {"ref": "scripted/model"}}
QUICK = RetryPolicy(first_seconds=0.01, max_backoff_seconds=0.05)


class Plain:
    """An async object whose methods a thread calls without awaiting."""

    def __init__(self, thing: Any, portal: BlockingPortal) -> None:
        self._thing = thing
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._thing)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        return self._method(value) if callable(value) else self._wrapped(value)

    def __enter__(self) -> Plain:
        self._block = self._portal.wrap_async_context_manager(self._thing)
        self._block.__enter__()
        return self

    def __exit__(self, *exc: Any) -> bool | None:
        return self._block.__exit__(*exc)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._portal.call(self._thing.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def _method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **more: Any) -> Any:
            async def call() -> Any:
                result = method(*args, **more)
                return await result if inspect.isawaitable(result) else result

            return self._wrapped(self._portal.call(call))

        return called

    def _wrapped(self, value: Any) -> Any:
        is_ours = type(value).__module__.startswith("agentkit.client") and type(value).__name__.startswith("Async")
        return Plain(value, self._portal) if is_ours or inspect.isasyncgen(value) else value


@dataclass
class Desk:
    """A platform with a scripted model, and a client of it."""

    way: str
    model: Any
    client: Any
    config: ClientConfig
    _more: Callable[[ClientConfig], Any] = field(repr=False)

    def agent(
        self, *tools: Any, output_type: Any = None, tool_timeout_seconds: float | None = None, **config: Any
    ) -> Any:
        """An agent of the scripted model with these tools."""
        return self.client.agent(
            {**AGENT, "tools": list(tools), **config},
            output_type=output_type,
            tool_timeout_seconds=tool_timeout_seconds,
        )

    def another_client(self, **changes: Any) -> Any:
        """One more client of the same platform, with other settings."""
        return self._more(replace(self.config, **changes))

    def last_request(self) -> list[tuple[str, str]]:
        """What the model was asked last: (role, text) of each message."""
        return [(str(each.role), each.text) for each in self.model.requests[-1].messages]


@contextmanager
def desk(way: str, *steps: Any, model: Any = None, client: Any = None, **runtime: Any) -> Iterator[Desk]:
    """A desk in this way; `client` are settings of its ClientConfig, the rest the runtime's own.

    `model` answers in place of a script of the steps.
    """
    where, _, kind = way.partition("-")
    model = model or Scripted(list(steps))
    with ExitStack() as stack:
        portal = None if kind == "sync" else stack.enter_context(start_blocking_portal(kind, name="test-loop"))
        open_ = _in_memory if where == "memory" else _behind_socket
        config, make = open_(stack, portal, model, runtime)
        config = replace(config, retry=QUICK, **(client or {}))

        def more(config: ClientConfig) -> Any:
            made = make(config)
            plain = made if portal is None else Plain(made, portal)
            stack.callback(plain.close)
            return plain

        yield Desk(way, model, more(config), config, more)


@contextmanager
def client_of(kind: str, url: str, *, key: str | None = None, **settings: Any) -> Iterator[Any]:
    """A client (`sync`, `asyncio` or `trio`) of a server that the test wrote itself."""
    settings = {"retry": QUICK, "honours_keys": True, **settings}
    config = ClientConfig(base_url=url, api_key=key, **settings)
    with ExitStack() as stack:
        if kind == "sync":
            yield stack.enter_context(Inference(config=config))
            return
        portal = stack.enter_context(start_blocking_portal(kind, name="test-loop"))
        client = Plain(AsyncInference(config=config), portal)
        stack.callback(client.close)
        yield client


Make = Callable[[ClientConfig], Any]


def _in_memory(
    stack: ExitStack, portal: BlockingPortal | None, model: Any, options: dict[str, Any]
) -> tuple[ClientConfig, Make]:
    runtime = Runtime(models={"scripted": model}, environ={}, **options)
    config = ClientConfig(base_url="http://agentkit.local", honours_keys=True)
    if portal is None:
        stack.enter_context(runtime)
        return config, lambda each: runtime.client(config=each)
    stack.enter_context(portal.wrap_async_context_manager(runtime))
    return config, lambda each: runtime.async_client(config=each)


def _behind_socket(
    stack: ExitStack, portal: BlockingPortal | None, model: Any, options: dict[str, Any]
) -> tuple[ClientConfig, Make]:
    server = stack.enter_context(served(providers={"scripted": model}, **options))
    config = ClientConfig(base_url=server.url, honours_keys=True)
    kind = Inference if portal is None else AsyncInference
    return config, lambda each: kind(config=each)


class Dictated:
    """A model that says one piece after the other, each when the test asks for it with `go_on`."""

    def __init__(self, *deltas: Mapping[str, Any]) -> None:
        self._gates = [(Gate(), LLMDelta.parse(delta)) for delta in deltas]
        self._next = iter(self._gates)

    async def stream(self, request: Any) -> AsyncIterator[LLMDelta]:
        """The pieces."""
        for gate, delta in self._gates:
            await gate.passed()
            yield delta

    def go_on(self) -> None:
        """Lets the model say its next piece; after the last one nothing happens."""
        gate, _ = next(self._next, (Gate(), None))
        gate.open()


def finishing(*fragments: str) -> list[dict[str, Any]]:
    """The deltas of a finish call whose arguments come in these fragments."""
    head: dict[str, Any] = {"index": 0, "id": "call_1", "type": "function"}
    first = {**head, "function": {"name": "finish", "arguments": fragments[0]}}
    rest = [{"index": 0, "function": {"arguments": each}} for each in fragments[1:]]
    return [{"tool_calls": [each]} for each in (first, *rest)]


@dataclass
class Told:
    """What a turn told, and what it came to."""

    events: list[TurnEvent] = field(default_factory=list)
    result: Any = None
    error: AgentKitError | None = None

    def kinds(self) -> list[str]:
        """The kinds in order, repeats of one kind in a row once, without what only repeats the state as a whole."""
        kinds = [event.kind for event in self.events if event.kind not in ("link_changed", "chat_changed")]
        return [kind for place, kind in enumerate(kinds) if place == 0 or kinds[place - 1] != kind]

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of this kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def texts(self) -> dict[str, str]:
        """The text deltas of each message, joined."""
        said: dict[str, str] = {}
        for event in self.of(TextDelta):
            said[event.message_id] = said.get(event.message_id, "") + event.text
        return said

    def messages(self) -> dict[str, Any]:
        """Each assistant message as it was told last."""
        return {
            event.message.id: event.message for event in self.of(MessageChanged) if event.message.role == "assistant"
        }

    @property
    def end(self) -> RunFinished:
        """The last event, which is the end."""
        last = self.events[-1]
        assert isinstance(last, RunFinished), f"the turn ended with {last.kind}"
        return last


def play(agent: Any, text: str = "go", *, then: Callable[[TurnEvent], Any] | None = None, **more: Any) -> Told:
    """Sends a message and follows its turn to the end; `then` is called with each event, in the thread of the test."""
    with agent.stream(text, **more) as turn:
        return follow(turn, then=then)


def follow(turn: Any, *, then: Callable[[TurnEvent], Any] | None = None) -> Told:
    """Everything that a turn tells."""
    told = Told()
    for event in turn:
        told.events.append(event)
        if then is not None:
            then(event)
    try:
        told.result = turn.result()
    except AgentKitError as error:
        told.error = error
    return told
