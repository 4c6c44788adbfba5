"""A call of an app whose worker is warm: the client's call to its result, beside what a call costs by hand.

In this process it stands beside a pipe to a child process, which is what is left of a worker when everything is taken
away; over loopback beside a POST to a server that does nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import httpx

from agentkit import Inference, Runtime, inference
from bench.echo import launched, pipe
from bench.measure import Contest, Row, beside

__all__ = ["calls"]

FOLDER: Final = Path(__file__).with_name("echo_app")
APP: Final = "bench/echo"
SAID: Final = {"text": "the quick brown fox jumps over the lazy dog"}
SERVE: Final = ("-m", "agentkit", "serve", "--port", "0", "--json", "--workers", "1")


def calls(repetitions: int, count: int) -> Iterator[Row]:
    """So many calls per repetition, one after the other."""
    with pipe() as connection, embedded() as ours:
        by_hand = partial(through_pipe, connection, count)
        yield from _rows("call, in process", by_hand, partial(ours, count), repetitions, count)
    with posting() as post, served() as ours:
        yield from _rows("call, served", partial(post, count), partial(ours, count), repetitions, count)


def _rows(
    name: str, by_hand: Callable[[], object], ours: Callable[[], object], repetitions: int, count: int
) -> Iterator[Row]:
    contest = Contest.hold(bare=by_hand, ours=ours, repetitions=repetitions)
    for unit, read in (("ms", "wall_seconds"), ("cpu ms", "cpu_seconds")):

        def per_call(cost: Any, read: str = read) -> float:
            return float(1e3 * getattr(cost, read) / count)

        yield beside(name, f"{unit} per call", contest, read=per_call)


# -- by hand -------------------------------------------------------------------------------------------------------


def through_pipe(connection: Connection[Any, Any], count: int) -> None:
    """Sends the value to the child, and receives it."""
    for _ in range(count):
        connection.send(SAID)
        assert connection.recv() == SAID


@contextmanager
def posting() -> Generator[Callable[[int], None]]:
    """POSTs the value to a server that repeats it, over one connection."""
    with launched(["-m", "bench.echo"]) as port, httpx.Client(base_url=f"http://127.0.0.1:{int(port)}") as http:

        def post(count: int) -> None:
            for _ in range(count):
                assert http.post("/echo", json=SAID).json() == SAID

        yield post


# -- with agentkit -------------------------------------------------------------------------------------------------


@contextmanager
def embedded() -> Generator[Callable[[int], None]]:
    """Calls the app on a runtime in this process, with one worker."""
    with Runtime(apps={APP: FOLDER}, workers=1, environ={}) as runtime, runtime.client() as client:
        yield partial(through_client, client, APP)


@contextmanager
def served() -> Generator[Callable[[int], None]]:
    """Deploys the app to an `agentkit serve`, and calls it there."""
    with launched(SERVE) as told, inference(base_url=json.loads(told)["url"]) as client:
        app = client.apps.deploy(FOLDER)
        yield partial(through_client, client, f"{app.namespace}/{app.name}")


def through_client(client: Inference, app: str, count: int) -> None:
    """Runs the app and waits for its result."""
    for _ in range(count):
        output = client.tasks.run({"app": app, "input": SAID}).output
        assert output["text"] == SAID["text"]
