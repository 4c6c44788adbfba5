"""Uploading and downloading: piece by piece, through cuts, with progress, and nothing half-made left behind."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentkit import UploadFileOptions, UsageError
from agentkit.client import data_uris
from agentkit.errors import BadRequestError, ConnectError, NotFoundError, PermissionDeniedError
from tests.client.hostile import Hostile, Request, Wire, hostile
from tests.client.tasking import Platform, meeting, problem
from tests.client.ways import client_of

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


# -- up ------------------------------------------------------------------------------------------------------------


def test_a_file_on_disk_is_sent_piece_by_piece_telling_how_far_it_is(meet: Meet, tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(1_000_000))
    platform = Platform()
    client, server = meet(platform)
    told: list[tuple[int, int]] = []
    record = client.files.upload(path, on_progress=lambda sent, total: told.append((sent, total)))
    assert platform.contents[record.id] == path.read_bytes()
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == (1_000_000, 1_000_000)
    put = next(each for each in server.requests if each.method == "PUT")
    assert put.headers["content-length"] == "1000000"
    assert "transfer-encoding" not in put.headers


def test_an_empty_file_is_a_file(meet: Meet, tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    platform = Platform()
    client, server = meet(platform)
    told: list[tuple[int, int]] = []
    record = client.files.upload(str(path), on_progress=lambda *numbers: told.append(numbers))
    assert platform.contents[record.id] == b""
    assert told == [(0, 0)]
    assert server.requests[-1].headers["content-length"] == "0"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_file_never_lies_in_memory(meet: Meet, tmp_path: Path) -> None:
    size = 200_000_000
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(size)
    seen: list[int] = []

    class Draining(Platform):
        """Reads the bytes off the socket without keeping them."""

    platform = Draining()
    with draining(seen) as put_url:
        platform.answers["POST /files"] = lambda request, wire: wire.json(
            [{"id": "f1", "uri": "inf://files/f1", "upload_url": put_url}]
        )
        client, _ = meet(platform)
        before = peak()
        client.files.upload(path)
    assert seen == [size]
    assert peak() - before < size // 4


def peak() -> int:
    """The most memory this process has had, in bytes."""
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class draining(ExitStack):
    """A server for one PUT that counts its bytes and forgets them; gives its URL."""

    def __init__(self, seen: list[int]) -> None:
        super().__init__()
        self._seen = seen

    def __enter__(self) -> Any:
        import socket

        listener = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
        thread.start()
        self.callback(thread.join, 10)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/put"

    def _serve(self, listener: Any) -> None:
        sock, _ = listener.accept()
        with sock, sock.makefile("rb") as reader:
            length = 0
            while line := reader.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            left = length
            while left and (piece := reader.read(min(left, 1 << 16))):
                left -= len(piece)
            self._seen.append(length - left)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_a_put_that_is_cut_is_sent_again_from_the_start(meet: Meet, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(os.urandom(3_000_000))
    platform = Platform()
    cuts = iter([1, 2])

    def put(request: Request, wire: Wire) -> None:
        if next(cuts, None):
            wire.cut()
        platform.contents["f1"] = request.body
        wire.answer()

    platform.answers["PUT /put/f1"] = put
    client, server = meet(platform)
    assert client.files.upload(path).id == "f1"
    assert platform.contents["f1"] == path.read_bytes()
    assert server.count("PUT", "/put/f1") == 3
    assert server.count("POST", "/files") == 1


@pytest.mark.parametrize("status", [403, 404, 409, 410])
def test_an_upload_url_that_is_used_up_is_made_anew(meet: Meet, status: int) -> None:
    platform = Platform()
    taken: list[int] = []

    def put(request: Request, wire: Wire) -> None:
        if taken:
            wire.json(problem("forbidden", status, "used already"), status)
        else:
            taken.append(1)
            wire.cut()  # the bytes came, and the answer did not

    platform.answers["PUT /put/f1"] = put
    client, server = meet(platform)
    record = client.files.upload(b"bytes")
    assert (record.id, platform.contents["f2"]) == ("f2", b"bytes")
    assert server.count("POST", "/files") == 2


def test_storage_that_always_refuses_is_asked_three_times_and_believed(meet: Meet) -> None:
    platform = Platform()
    refuse = lambda request, wire: wire.json(problem("forbidden", 403, "not here"), 403)  # noqa: E731  (one line, used thrice)
    platform.answers = {f"PUT /put/f{n}": refuse for n in range(1, 9)}
    client, server = meet(platform)
    with pytest.raises(PermissionDeniedError, match="not here"):
        client.files.upload(b"bytes")
    assert server.count("POST", "/files") == 3


@pytest.mark.parametrize("where", ["POST /files", "PUT /put/f1"])
def test_a_file_that_is_too_large_is_told_in_the_platforms_words(meet: Meet, where: str) -> None:
    platform = Platform()
    too_large = problem("payload_too_large", 413, "5 bytes, at most 4")
    platform.answers[where] = lambda request, wire: wire.json(too_large, 413)
    client, server = meet(platform)
    with pytest.raises(BadRequestError, match="413: 5 bytes, at most 4"):
        client.files.upload(b"bytes")
    assert len(server.requests) <= 2


def test_storage_that_answers_in_xml_is_readable(meet: Meet) -> None:
    platform = Platform()
    body = b"<?xml version='1.0'?><Error><Code>EntityTooLarge</Code><Message>too big</Message></Error>"
    platform.answers["PUT /put/f1"] = lambda request, wire: wire.answer(400, body, "application/xml")
    client, _ = meet(platform)
    with pytest.raises(BadRequestError, match="EntityTooLarge too big"):
        client.files.upload(b"bytes")


def test_a_file_that_shrinks_while_it_is_sent_is_told(meet: Meet, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 1_000_000)
    client, _ = meet(Platform())

    def shrink(sent: int, total: int) -> None:
        os.truncate(path, 10)

    with pytest.raises(UsageError, match="became shorter"):
        client.files.upload(path, on_progress=shrink)


def test_a_file_that_grows_while_it_is_sent_is_sent_as_long_as_it_was(meet: Meet, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 600_000)
    platform = Platform()
    client, _ = meet(platform)

    def grow(sent: int, total: int) -> None:
        with path.open("ab") as file:
            file.write(b"y")

    record = client.files.upload(path, on_progress=grow)
    assert platform.contents[record.id] == b"x" * 600_000


def test_public_and_names_are_announced_and_the_callers_options_stay_as_they_are(meet: Meet) -> None:
    platform = Platform()
    client, _ = meet(platform)
    options = UploadFileOptions(public=True, filename="t.csv")
    record = client.files.upload(b"a,b", options)
    told = platform.uploads[record.id]
    assert (told["public"], told["filename"], told["content_type"]) == (True, "t.csv", "text/csv")
    assert options == UploadFileOptions(public=True, filename="t.csv")


@pytest.mark.parametrize(
    ("uri", "content", "content_type"),
    [
        ("data:,hello%20there", b"hello there", "text/plain"),
        ("data:text/html,<b>1+1</b>", b"<b>1+1</b>", "text/html"),
        ("data:text/plain;charset=utf-8,h%C3%A9", "hé".encode(), "text/plain;charset=utf-8"),
        ("data:;charset=utf-8;base64,aMOp", "hé".encode(), "text/plain;charset=utf-8"),
        ("data:image/png;base64,__-_", b"\xff\xff\xbf", "image/png"),
        ("data:image/png;base64,%2F%2F%2B%2F", b"\xff\xff\xbf", "image/png"),
        ("data:a/b;base64,YQ", b"a", "a/b"),
        ("DATA:IMAGE/PNG;BASE64,YQ==", b"a", "image/png"),
        ('data:a/b;name="x y";base64,YQ==', b"a", 'a/b;name="x y"'),
        ("data:application/octet-stream;base64,", b"", "application/octet-stream"),
    ],
)
def test_every_form_of_data_uri_is_read(uri: str, content: bytes, content_type: str) -> None:
    assert data_uris.is_data_uri(uri)
    assert data_uris.decode(uri) == (content, content_type)


@pytest.mark.parametrize(
    "text", ["data", "data:", "data: a, b", "data:one two,three", "data:image/png;base64", "date:,"]
)
def test_a_sentence_that_begins_with_data_is_no_data_uri(text: str) -> None:
    assert not data_uris.is_data_uri(text)


# -- down ----------------------------------------------------------------------------------------------------------


def holding(content: bytes, name: str = "cat.png") -> Platform:
    """A platform with file f1."""
    platform = Platform()
    platform.contents["f1"] = content
    platform.uploads["f1"] = {"id": "f1", "uri": f"inf://files/f1/{name}", "filename": name}
    return platform


def test_a_file_is_downloaded_by_uri_id_record_or_output(meet: Meet) -> None:
    platform = holding(b"meow")
    client, server = meet(platform, key="inf_secret")
    uri = platform.uploads["f1"]["uri"]
    for file in (uri, "f1", {"uri": uri}, {"id": "f1", "uri": ""}, client.files.upload(b"meow")):
        assert client.files.download(file) == b"meow"
    assert server.requests[-1].headers["authorization"] == "Bearer inf_secret"


def test_a_download_appears_when_all_of_it_is_there(meet: Meet, tmp_path: Path) -> None:
    content = os.urandom(700_000)
    platform = holding(content)
    client, _ = meet(platform)
    told: list[tuple[int, int]] = []
    path = client.files.download(
        {"uri": "inf://files/f1/x", "filename": "cat.png"}, tmp_path, on_progress=lambda *each: told.append(each)
    )
    assert path == tmp_path / "cat.png"
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
    assert told[-1] == (700_000, 700_000)
    assert os.listdir(tmp_path) == ["cat.png"]


def test_a_download_that_is_cut_begins_again(meet: Meet, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    platform = holding(content)
    cuts = iter([10, 50_000])

    def send(request: Request, wire: Wire) -> None:
        length = next(cuts, len(content))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        wire.send(head + content[:length])
        if length < len(content):
            wire.cut()

    platform.answers["GET /files/f1/content"] = send
    client, server = meet(platform)
    target = tmp_path / "it.bin"
    target.write_bytes(b"old")
    assert client.files.download("f1", target).read_bytes() == content
    assert client.files.download("f1") == content
    assert server.count("GET", "/files/f1/content") == 4
    assert os.listdir(tmp_path) == ["it.bin"]


def test_a_download_that_fails_leaves_what_was_there(meet: Meet, tmp_path: Path) -> None:
    platform = holding(b"new")

    def send(request: Request, wire: Wire) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nn")
        wire.cut()

    platform.answers["GET /files/f1/content"] = send
    client, _ = meet(platform)
    target = tmp_path / "it.bin"
    target.write_bytes(b"old")
    with pytest.raises(ConnectError):
        client.files.download("f1", target)
    with pytest.raises(NotFoundError):
        client.files.download("inf://files/f9/gone.txt/x", target)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["it.bin"]


def test_the_key_goes_to_the_platform_alone(kind: str) -> None:
    with hostile(lambda request, wire: wire.answer(body=b"elsewhere")) as other:

        def redirect(request: Request, wire: Wire) -> None:
            wire.answer(302, b"", Location=f"{other.url}/bytes")

        platform = Platform()
        platform.answers["GET /files/f1/content"] = redirect
        with meeting(kind, platform, key="inf_secret") as (client, server):
            assert client.files.download(f"{other.url}/cat.png") == b"elsewhere"
            assert client.files.download("f1") == b"elsewhere"
            assert client.files.download(f"{server.url}/files/f1/content") == b"elsewhere"
        assert [each.headers.get("authorization") for each in server.requests] == ["Bearer inf_secret"] * 2
        assert [each.headers.get("authorization") for each in other.requests] == [None] * 3
        assert "x-api-version" not in other.requests[0].headers


@pytest.mark.parametrize("name", ["../../evil", "..", "/etc/passwd", "a\\..\\b", ".", "", "a\x00b", "x" * 400])
def test_a_name_from_the_platform_stays_in_its_folder(meet: Meet, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    client, _ = meet(holding(b"x"))
    path = client.files.download({"uri": "inf://files/f1", "filename": name}, folder)
    assert path.parent == folder
    assert path.read_bytes() == b"x"
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("file", ["/etc/hostname", "ftp://example.invalid/a", "data:,x", "", 7, {"path": "x"}, None])
def test_what_is_no_file_of_a_platform_is_refused(meet: Meet, file: Any) -> None:
    client, server = meet(Platform())
    with pytest.raises(UsageError):
        client.files.download(file)
    assert server.requests == []


def test_a_folder_that_is_not_there_is_told_before_anything_is_sent(meet: Meet, tmp_path: Path) -> None:
    client, server = meet(Platform())
    with pytest.raises(UsageError, match="no folder"):
        client.files.download("f1", tmp_path / "no" / "where.bin")
    assert server.requests == []


def test_nobody_there_is_told_as_it_is(kind: str) -> None:
    with client_of(kind, "http://127.0.0.1:1") as client, pytest.raises(ConnectError):
        client.files.download("f1")
