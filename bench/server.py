"""The platform that both contestants talk to, in a process of its own: `python -m bench.server` says its port.

Its model has no memory: `bench/short` answers in 8 deltas, `bench/long` in 3,000, `bench/tool` calls the client tool
`get_weather` and then answers in 8.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

import anyio
import uvicorn
from anyio.lowlevel import checkpoint

from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.open import open_models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import ModelRequest
from agentkit.runtime.server import create_app
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.wire import LLMDelta

__all__ = ["DELTAS", "TOOL", "WORDS", "Clockwork", "agent", "serving"]

DELTAS: Final = {"short": 8, "long": 3000, "tool": 8}
WORDS: Final = "word by word "
LISTENER_SECONDS: Final = 2.0
SNAPSHOT_SECONDS: Final = {"short": 0.0, "long": 0.05, "tool": 0.0}  # what is said before a stream begins is no event
TOOL: Final[dict[str, Any]] = {
    "name": "get_weather",
    "description": "The weather",
    "type": "client",
    "client": {"input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


def agent(kind: str) -> dict[str, Any]:
    """The config of the agent that answers in this way, without its tools."""
    return {"core_app": {"ref": f"bench/{kind}"}}


class Clockwork:
    """A model that costs nothing worth measuring."""

    name = "bench"

    def __init__(self, *, is_heard: Callable[[], bool] = lambda: True) -> None:
        self._is_heard = is_heard  # it waits for a listener, so that everybody gets every word

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta, None]:
        """The call, or the words."""
        with anyio.move_on_after(LISTENER_SECONDS):
            while not self._is_heard():
                await anyio.sleep(0.001)
        await anyio.sleep(SNAPSHOT_SECONDS[request.model])
        if request.model == "tool" and request.messages[-1].role == "user":
            function = {"name": TOOL["name"], "arguments": '{"city":"Paris"}'}
            yield LLMDelta.parse({"tool_calls": [{"index": 0, "id": "call", "type": "function", "function": function}]})
            return
        for _ in range(DELTAS[request.model]):
            await checkpoint()  # each delta is a line of its own
            yield LLMDelta.parse({"response": WORDS})


async def serve() -> None:
    """Serves until standard input is closed."""
    streams: list[Any] = []
    model = Clockwork(is_heard=lambda: len(streams[0]) > 0)
    platform = Platform(
        store=SqliteStore(),
        engine=LocalEngine(),
        bus=LocalBus(max_live_frames=1_000_000),  # nobody may win by losing some
        models=open_models(providers={"bench": model}, environ={}),
        blobs=Blobs(None),
    )
    async with platform:
        app = create_app(platform)
        streams.append(app.state.streams)
        server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_config=None))
        # The protocol is named because only then asyncio sends without delay.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            print(listener.getsockname()[1], flush=True)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await asyncio.to_thread(sys.stdin.read)
            app.state.streams.close()
            server.should_exit = True
            await serving


@contextmanager
def serving() -> Generator[str]:
    """The server's URL, while it runs."""
    command = [sys.executable, "-m", "bench.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve())
