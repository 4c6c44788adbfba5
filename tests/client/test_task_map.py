"""One app over many inputs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentkit import UsageError
from agentkit.errors import TaskFailedError
from tests.client.hostile import Hostile, Request, Wire
from tests.client.tasking import DONE, RUNNING, Platform, meeting

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


class Squares(Platform):
    """Runs `{"n": n}` to its square; negative numbers fail. Counts how many tasks are under way at once."""

    def __init__(self, *, slow: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.slow = slow
        self.others = threading.Event()  # the slow ones wait for it
        self.under_way: set[str] = set()
        self.most = 0

    def begin(self, body: dict[str, Any]) -> Any:
        live = super().begin(body)
        n = body["input"]["n"]
        live.states = [RUNNING, {"status": 11, "error": f"{n} < 0"} if n < 0 else {**DONE, "output": n * n}]
        self.under_way.add(live.task["id"])
        self.most = max(self.most, len(self.under_way))
        return live

    def stream(self, wire: Wire, live: Any) -> None:
        if live.task["input"]["n"] in self.slow:
            self.others.wait(10)
        with self._lock:
            self.under_way.discard(live.task["id"])  # told over before it is told to be over
        super().stream(wire, live)


def inputs(*numbers: int) -> list[dict[str, int]]:
    return [{"n": n} for n in numbers]


def test_results_come_in_the_order_of_the_inputs(meet: Meet) -> None:
    platform = Squares(slow=frozenset({0}))
    client, _ = meet(platform)
    progress: list[tuple[int, int]] = []

    def tell(done: int, begun: int) -> None:
        progress.append((done, begun))
        if done == 3:  # all that may be begun beside the slow one
            platform.others.set()

    with client.tasks.map(inputs(*range(4)), "acme/square", concurrency=4, on_progress=tell) as results:
        assert [each.output for each in results] == [0, 1, 4, 9]
    assert [done for done, _ in progress] == [1, 2, 3, 4]
    assert progress[-1] == (4, 4)


def test_results_may_come_as_they_are_ready(meet: Meet) -> None:
    platform = Squares(slow=frozenset({0}))
    client, _ = meet(platform)
    with client.tasks.map(inputs(0, 1, 2), "acme/square", ordered=False) as results:
        outputs = [next(results).output, next(results).output]
        platform.others.set()
        assert [*sorted(outputs), *(each.output for each in results)] == [1, 4, 0]


def test_no_more_run_at_once_than_was_said_and_inputs_are_taken_when_needed(meet: Meet) -> None:
    taken: list[int] = []

    def endless() -> Iterator[dict[str, int]]:
        n = 0
        while True:
            taken.append(n)
            yield {"n": n}
            n += 1

    platform = Squares()
    client, _ = meet(platform)
    with client.tasks.map(endless(), "acme/square", concurrency=2) as results:
        assert [next(results).output for _ in range(5)] == [0, 1, 4, 9, 16]
    assert platform.most <= 2
    assert len(taken) <= 5 + 2 * 2


def test_a_failure_takes_its_place_and_loses_none_of_the_others(meet: Meet) -> None:
    client, _ = meet(Squares())
    results = client.tasks.map(inputs(1, -2, 3), {"app": "acme/square", "setup": {}}, return_exceptions=True).all()
    assert (results[0].output, results[2].output) == (1, 9)
    assert isinstance(results[1], TaskFailedError)
    assert str(results[1]) == "-2 < 0"


def test_a_failure_is_raised_naming_its_input_and_cancels_what_is_under_way(meet: Meet) -> None:
    platform = Squares(slow=frozenset({0}))
    client, server = meet(platform)
    with pytest.raises(TaskFailedError) as failed:
        client.tasks.map(inputs(0, -1), "acme/square", concurrency=2).all()
    platform.others.set()
    assert "input number 1" in failed.value.__notes__[0]
    assert sum(each.path.endswith("/cancel") for each in server.requests) == 1


def test_leaving_early_cancels_what_is_under_way_and_begins_nothing_more(meet: Meet) -> None:
    platform = Squares(slow=frozenset({1, 2}))
    client, server = meet(platform)
    with client.tasks.map(inputs(0, 1, 2, 3, 4, 5), "acme/square", concurrency=3) as results:
        assert next(results).output == 0
    platform.others.set()
    begun = {f"/tasks/{id}/cancel" for id, live in platform.tasks.items() if live.task["input"]["n"] in (1, 2)}
    assert begun <= {each.path for each in server.requests}
    assert len(platform.bodies) <= 4


def test_the_refusal_of_one_run_is_a_result_like_others(meet: Meet) -> None:
    platform = Squares()

    def run(request: Request, wire: Wire) -> None:
        if request.json["input"]["n"] == 1:
            wire.json({"detail": "too odd", "status": 422}, 422)
        else:
            platform.run(request, wire)

    platform.answers["POST /apps/run"] = run
    client, _ = meet(platform)
    results = client.tasks.map(inputs(0, 1, 2), "acme/square", return_exceptions=True).all()
    assert [getattr(each, "output", None) for each in results] == [0, None, 4]
    assert "too odd" in str(results[1])


def test_files_among_the_inputs_are_uploaded(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    client.tasks.map([{"file": b"one"}, {"file": b"two"}], "acme/read").all()
    uris = [each["input"]["file"] for each in platform.bodies]
    assert sorted(platform.file_of(uri)[1] for uri in uris) == [b"one", b"two"]


def test_no_inputs_are_no_results(meet: Meet) -> None:
    client, server = meet(Platform())
    assert client.tasks.map([], "acme/square").all() == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (({"n": 1}, "acme/a"), {}, "many inputs"),
        (("text", "acme/a"), {}, "many inputs"),
        (([], "acme/a"), {"concurrency": 0}, "concurrency"),
        (([], "acme/a"), {"idempotency_key": "k"}, "idempotency_key"),
    ],
)
def test_what_cannot_be_meant_is_refused(meet: Meet, arguments: Any, options: dict[str, Any], says: str) -> None:
    client, _ = meet(Platform())
    with pytest.raises(UsageError, match=says):
        client.tasks.map(*arguments, **options)


@pytest.mark.trio_only
async def test_the_async_map_has_to_be_entered() -> None:
    from agentkit import AsyncInference

    async with AsyncInference(base_url="http://127.0.0.1:1") as client:
        with pytest.raises(UsageError, match="async with"):
            await anext(client.tasks.map([1], "acme/a"))


PROGRAM = """
    import sys
    from agentkit import inference
    client = inference(base_url=sys.argv[1])
    for task in client.tasks.map([{"n": n} for n in range(4)], "acme/square", concurrency=2):
        print(task.output, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_cancels_the_tasks_under_way_and_ends_the_program(tmp_path: Path) -> None:
    platform = Squares(slow=frozenset({1, 2}))
    with meeting("sync", platform) as (_, server):
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(PROGRAM))
        environ = {**os.environ, "PYTHONPATH": os.getcwd()}
        program = subprocess.Popen(
            [sys.executable, str(script), server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
        )
        assert program.stdout is not None
        assert program.stdout.readline() == b"0\n"
        give_up = time.monotonic() + 10
        while sum(each.path.endswith("/stream") for each in server.requests) < 3 and time.monotonic() < give_up:
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=15)
        platform.others.set()
        assert b"KeyboardInterrupt" in said
        slow = {f"/tasks/{id}/cancel" for id, live in platform.tasks.items() if live.task["input"]["n"] in (1, 2)}
        assert slow == {each.path for each in server.requests if each.path.endswith("/cancel")}
        assert len(platform.bodies) == 3
