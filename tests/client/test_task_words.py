"""What a program says wrongly is answered with what it probably meant, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentkit import File, FileRef, UsageError
from tests.client.hostile import Hostile
from tests.client.tasking import DONE, Platform, meeting

Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


def test_an_option_that_there_is_not_is_named_with_the_one_that_was_meant(meet: Meet) -> None:
    client, server = meet(Platform(DONE))
    with pytest.raises(
        TypeError, match=r"^run\(\) has no option 'timout'; did you mean 'timeout'\?; it has on_update, "
    ):
        client.tasks.run({"app": "acme/a"}, timout=3)
    with pytest.raises(TypeError, match=r"^map\(\) has no option 'orderd'; did you mean 'ordered'"):
        client.tasks.map([{}], "acme/a", orderd=False)
    with pytest.raises(TypeError, match=r"^session\(\) has no option 'sesion_timeout'; did you mean 'session_timeout'"):
        client.session("acme/a", sesion_timeout=3)
    with pytest.raises(TypeError, match=r"^stream\(\) has no option 'pol'; did you mean 'poll'"):
        client.tasks.stream("t1", pol=True)
    assert not server.requests


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"app": "a/b", "inputs": {}}, r"run\(\): the params have 'inputs'; did you mean 'input'\?"),
        ({"app": "a/b", "session": "new", "session_timout": 9}, "did you mean 'session_timeout'"),
        ({"app": "a/b", "timeout": 3}, r"'timeout' is an argument of run\(\), beside the params"),
        ({"app": "a/b", "input": {"a": [math.nan]}}, r"input\.a\.0: JSON cannot carry nan"),
        ({"app": "a/b", "setup": {"scale": math.inf}}, r"setup\.scale: JSON cannot carry inf"),
        ({"app": "a/b", "setup": {"corpus": Path("x.txt")}}, r"setup\.corpus: .*client\.files\.upload"),
        ({"app": "a/b", "setup": [File(path="x.txt")]}, r"setup\.0: .*not uploaded at each run"),
    ],
)
def test_params_that_cannot_be_meant_are_refused(meet: Meet, params: dict[str, Any], says: str) -> None:
    client, server = meet(Platform(DONE))
    with pytest.raises(UsageError, match=says):
        client.tasks.run(params)
    assert not server.requests


def test_params_that_are_new_to_us_travel(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    corpus = FileRef(uri="inf://files/f/x.txt")
    client.tasks.run({"app": "a/b", "input": {}, "priority": 3, "setup": {"corpus": corpus}})
    assert platform.bodies[0]["priority"] == 3
    assert platform.bodies[0]["setup"]["corpus"]["uri"] == "inf://files/f/x.txt"


@pytest.mark.parametrize(
    ("app", "concurrency", "says"),
    [
        ([{"app": "a/b"}], 1, r"map\(inputs, app\) takes an app"),
        ("a/b", 1.5, "concurrency is 1.5; give a whole number"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(meet: Meet, app: Any, concurrency: Any, says: str) -> None:
    client, _ = meet(Platform(DONE))
    with pytest.raises(UsageError, match=says):
        client.tasks.map([{}], app, concurrency=concurrency)


def test_streams_and_sessions_say_what_they_are() -> None:
    with meeting("sync", Platform(DONE)) as (client, _):
        stream = client.tasks.run({"app": "acme/a"}, stream=True)
        assert repr(stream) == "TaskStream('t1', received)"
        stream.wait()
        assert repr(stream) == "TaskStream('t1', completed)"
        assert repr(client.tasks.stream("t1")) == "TaskStream('t1')"
        with client.session("acme/a") as session:
            assert repr(session) == "<Session 's1' of 'acme/a'>"
        assert repr(session) == "<Session 's1' of 'acme/a', ended>"


def test_options_of_an_upload_that_are_none_are_refused(meet: Meet) -> None:
    client, server = meet(Platform(DONE))
    with pytest.raises(UsageError, match=r"upload options are UploadFileOptions\(.*not \{'filename': 'x'\}"):
        client.files.upload(b"x", {"filename": "x"})
    assert not server.requests
