"""Files inside a task's input: what is one is uploaded first, what only looks like one is not."""

from __future__ import annotations

import base64
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from agentkit import FileRef, UsageError
from agentkit.client.uploads import Upload
from agentkit.wire import FileRecord
from tests.client.hostile import Hostile, Request, Wire
from tests.client.tasking import DONE, Platform, meeting, problem

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

Meet = Callable[..., tuple[Any, Hostile]]
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 32


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


@dataclass
class LikeAFile:
    """An app author's `File`, as far as a client need know."""

    uri: str | None = None
    path: str | None = None
    content_type: str | None = None
    filename: str | None = None


class Picture(BaseModel):
    """An input model, with a name of its own on the wire."""

    image: Any = Field(serialization_alias="img")
    scale: int = 2
    note: str | None = None


def sent(client: Any, platform: Platform, input: Any, **options: Any) -> Any:
    """The input as it reaches the platform."""
    client.tasks.run({"app": "acme/a", "input": input}, wait=False, **options)
    return platform.bodies[-1]["input"]


def test_every_kind_of_file_is_uploaded_wherever_it_is(meet: Meet, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    platform = Platform(DONE)
    client, server = meet(platform)
    with path.open("rb") as handle:
        input = {
            "path": path,
            "bytes": b"raw",
            "view": memoryview(bytearray(b"view")),
            "handle": handle,
            "memory": io.BytesIO(b"memory"),
            "list": [{"deep": (path, Upload(str(path), filename="dog.png"))}],
            "uri": "data:text/plain;charset=utf-8,h%C3%A9",
            "file": LikeAFile(path=str(path), filename="mine.png", content_type="image/x-mine"),
            "as_uri": LikeAFile(uri=path.as_uri()),
            "as_data": LikeAFile(uri="data:image/gif;base64,R0lGODlh"),
            "marked": Upload(base64.b64encode(b"coded").decode(), content_type="text/x", public=True, path="in/x"),
            "model": Picture(image=path),
            "text": "hello",
            "number": 1.5,
            "none": None,
        }
        told = sent(client, platform, input)
    files = {
        name: platform.file_of(told[name]) for name in ("path", "bytes", "view", "handle", "memory", "uri", "file")
    }
    assert [content for _, content in files.values()] == [PNG, b"raw", b"view", PNG, b"memory", "hé".encode(), PNG]
    assert [record["content_type"] for record, _ in files.values()] == [
        "image/png", "application/octet-stream", "application/octet-stream", "image/png", "application/octet-stream",
        "text/plain;charset=utf-8", "image/x-mine",
    ]  # fmt: skip
    assert [record["size"] for record, _ in files.values()] == [40, 3, 4, 40, 6, 3, 40]
    assert (files["file"][0]["filename"], files["handle"][0]["filename"]) == ("mine.png", "cat.png")
    same, other = told["list"][0]["deep"]
    assert same == told["path"]  # the same path is one upload
    assert platform.file_of(other)[0]["filename"] == "dog.png"
    assert platform.file_of(told["as_uri"])[1] == PNG
    assert platform.file_of(told["as_data"])[1] == b"GIF89a"
    marked, content = platform.file_of(told["marked"])
    assert (marked["content_type"], marked["public"], marked["path"], content) == ("text/x", True, "in/x", b"coded")
    assert told["model"] == {"img": told["path"]}
    assert (told["text"], told["number"], told["none"]) == ("hello", 1.5, None)
    assert all("authorization" not in each.headers for each in server.requests if each.method == "PUT")
    assert server.requests[-1].path == "/apps/run"


def test_what_lies_elsewhere_already_is_sent_by_its_uri(meet: Meet) -> None:
    platform = Platform(DONE)
    client, server = meet(platform)
    input = {
        "url": LikeAFile(uri="https://cloud.example/cat.png", path="/somewhere/else"),
        "inf": LikeAFile(uri="inf://files/f1/cat.png"),
        "record": FileRecord(id="f1", uri="https://cloud.example/f1", path="remote/path"),
        "ref": FileRef(uri="inf://files/f2/a.txt", filename="a.txt"),
        "dict": {"uri": "https://cloud.example/x", "path": "/etc/hostname"},
    }
    assert sent(client, platform, input) == {
        "url": "https://cloud.example/cat.png",
        "inf": "inf://files/f1/cat.png",
        "record": "https://cloud.example/f1",
        "ref": "inf://files/f2/a.txt",
        "dict": {"uri": "https://cloud.example/x", "path": "/etc/hostname"},
    }
    assert len(server.requests) == 1


LOOK_ALIKES = [
    "/etc/hostname", "pyproject.toml", "agentkit", "7jnx8hn08m6ysdp0", "aGVsbG8gd29ybGQhIQ==", "deadbeefdeadbeef",
    "data: hello, world", "data:the rest, of it", "Data: a, b", "https://example.invalid/a.png", "",
]  # fmt: skip


def test_a_string_that_looks_like_a_path_or_base64_stays_a_string(meet: Meet) -> None:
    platform = Platform(DONE)
    client, server = meet(platform)
    assert os.path.exists("pyproject.toml")
    assert sent(client, platform, {"all": LOOK_ALIKES}) == {"all": LOOK_ALIKES}
    assert len(server.requests) == 1


def test_strings_are_uploaded_as_the_sdk_did_where_that_is_asked_for(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    strings = ["pyproject.toml", "aGVsbG8gd29ybGQhIQ==", "agentkit", "hello world", "abc"]
    told = sent(client, platform, strings, upload="strings")
    assert platform.file_of(told[0])[1] == Path("pyproject.toml").read_bytes()
    assert platform.file_of(told[1])[1] == b"hello world!!"
    assert told[2:] == ["agentkit", "hello world", "abc"]  # a folder is no file


def test_nothing_is_uploaded_where_that_is_asked_for(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    uri = "data:text/plain,hello"
    assert sent(client, platform, {"uri": uri}, upload="nothing") == {"uri": uri}


def test_the_callers_input_is_left_as_it_was(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    params = {"app": "acme/a", "input": {"file": b"raw", "list": [b"raw"]}}
    client.tasks.run(params, wait=False)
    assert params == {"app": "acme/a", "input": {"file": b"raw", "list": [b"raw"]}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Path("/no/such/file"), r"input\.a\.0: cannot read '/no/such/file'"),
        (Path("agentkit"), r"input\.a\.0: 'agentkit' is a directory"),
        (LikeAFile(), "neither a path nor a uri"),
        (LikeAFile(path="/no/such/file"), "cannot read"),
        ("data:image/png;base64,*", "its data is not"),
        (io.StringIO("text"), "mode 'rb'"),
        (Upload("no such file.txt"), "no file that exists"),
        (Upload(12), "not int"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_file_that_cannot_be_read_is_refused_with_its_place_before_anything_is_sent(
    meet: Meet, value: Any, says: str
) -> None:
    client, server = meet(Platform(DONE))
    with pytest.raises(UsageError, match=says):
        client.tasks.run({"app": "acme/a", "input": {"a": [value]}})
    assert server.requests == []


def test_an_input_that_holds_itself_is_refused(meet: Meet) -> None:
    client, server = meet(Platform(DONE))
    round_: list[Any] = []
    round_.append(round_)
    with pytest.raises(UsageError, match="holds itself"):
        client.tasks.run({"app": "acme/a", "input": round_})
    assert server.requests == []


def test_a_pipe_is_uploaded_to_its_end(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    reading, writing = os.pipe()
    content = os.urandom(1000) * 300
    threading.Thread(target=_pour, args=(writing, content)).start()
    with os.fdopen(reading, "rb") as pipe:
        told = sent(client, platform, {"pipe": pipe})
    record, come = platform.file_of(told["pipe"])
    assert (record["size"], come) == (len(content), content)


def _pour(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def test_files_are_uploaded_at_once_and_not_one_after_the_other(meet: Meet) -> None:
    platform = Platform(DONE)
    all_here = threading.Barrier(3, timeout=10)

    class Slow(dict[str, bytes]):
        def __setitem__(self, id: str, content: bytes) -> None:
            all_here.wait()  # broken unless three come at once
            super().__setitem__(id, content)

    platform.contents = Slow()
    client, _ = meet(platform)
    told = sent(client, platform, [b"one", b"two", b"three"])
    assert [platform.file_of(uri)[1] for uri in told] == [b"one", b"two", b"three"]


def test_an_upload_that_is_refused_is_raised_and_the_app_does_not_run(meet: Meet) -> None:
    platform = Platform(DONE)

    def announce(request: Request, wire: Wire) -> None:
        if request.json["files"][0]["size"] == 2:
            wire.json(problem("payload_too_large", 413, "2 bytes are too many"), 413)
        else:
            platform.announce(request, wire)

    platform.answers["POST /files"] = announce
    client, _ = meet(platform)
    with pytest.raises(Exception, match="2 bytes are too many"):
        client.tasks.run({"app": "acme/a", "input": [b"1", b"22", b"333"]})
    assert platform.bodies == []
