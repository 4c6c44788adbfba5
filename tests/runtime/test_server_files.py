"""Files over HTTP: announced and PUT, or sent as a form; read back as downloads (protocol.md 4.1)."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from agentkit.runtime.faults import Fault
from agentkit.runtime.multipart import Field, parse
from tests.runtime.serving import BARE, KEY, Desk, Served, in_process, served

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

BYTES = bytes(range(256)) * 20


async def _announce(desk: Desk, *, headers: dict[str, str] = BARE, **entry: Any) -> dict[str, Any]:
    response = await desk.client.post("/files", json={"files": [{"uri": "", **entry}]}, headers=headers)
    assert response.status_code == 200
    return dict(response.json()[0])


@pytest.mark.requirement("file:upload")
@pytest.mark.parametrize("keys", [[], [KEY]])
async def test_a_file_is_announced_sent_without_a_key_and_read(keys: list[str]) -> None:
    headers = {**BARE, **({"Authorization": f"Bearer {KEY}"} if keys else {})}
    async with in_process(keys=keys) as desk:
        record = await _announce(
            desk, headers=headers, filename="ä b.bin", content_type="application/x-odd", size=len(BYTES)
        )
        sent = await desk.client.put(record["upload_url"], content=BYTES, headers={"Content-Type": "application/x-odd"})
        read = await desk.client.get(f"/files/{record['id']}/content", headers=headers)
        told = (await desk.client.get(f"/files/{record['id']}", headers=headers)).json()
    assert urlsplit(record["upload_url"]).netloc == "agentkit.local"
    assert (sent.status_code, read.content, told["size"], told["upload_url"]) == (200, BYTES, len(BYTES), "")


async def test_several_files_are_answered_in_their_order() -> None:
    async with in_process() as desk:
        names = ["c", "a", "b"]
        answer = await desk.post("/files", {"files": [{"uri": "", "filename": name} for name in names]})
    assert [each["filename"] for each in answer] == names


async def test_an_upload_url_is_good_for_one_upload_and_only_its_token() -> None:
    async with in_process() as desk:
        record = await _announce(desk, filename="a")
        forged = await desk.client.put(f"/files/{record['id']}/content?token=x", content=b"1")
        bare = await desk.client.put(f"/files/{record['id']}/content", content=b"1")
        first = await desk.client.put(record["upload_url"], content=b"2")
        second = await desk.client.put(record["upload_url"], content=b"3")
        read = await desk.client.get(f"/files/{record['id']}/content")
    assert [each.status_code for each in (forged, bare, first, second)] == [403, 403, 200, 403]
    assert read.content == b"2"


async def test_a_file_is_a_download_that_no_browser_runs() -> None:
    async with in_process() as desk:
        record = await _announce(desk, filename='x".html\r\nSet-Cookie: a=b', content_type="text/html\r\nX: y")
        await desk.client.put(record["upload_url"], content=b"<script>alert(1)</script>")
        read = await desk.client.get(f"/files/{record['id']}/content")
    assert read.headers["content-type"] == "application/octet-stream"
    assert read.headers["content-disposition"].startswith("attachment; filename*=UTF-8''x%22.html%0D%0A")
    assert read.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert read.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in read.headers


async def test_head_of_a_file_tells_its_size_and_leaves_it_closed() -> None:
    async with in_process() as desk:
        record = await _announce(desk, filename="a")
        await desk.client.put(record["upload_url"], content=BYTES)
        head = await desk.client.head(f"/files/{record['id']}/content")
        gc.collect()  # an open file would be a ResourceWarning, hence an error
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(BYTES)), b"")


async def test_only_public_files_are_read_without_the_key() -> None:
    headers = {**BARE, "Authorization": f"Bearer {KEY}"}
    async with in_process(keys=[KEY]) as desk:
        answers: list[httpx.Response] = []
        for public in (True, False):
            record = await _announce(desk, headers=headers, filename="a", public=public)
            await desk.client.put(record["upload_url"], content=b"x")
            answers.append(await desk.client.get(f"/files/{record['id']}/content"))
    assert [each.status_code for each in answers] == [200, 404]


async def test_a_file_whose_bytes_never_came_is_not_found_and_a_deleted_one_is_gone() -> None:
    async with in_process() as desk:
        record = await _announce(desk, filename="a")
        early = await desk.client.get(f"/files/{record['id']}/content")
        await desk.client.put(record["upload_url"], content=b"x")
        await desk.client.delete(f"/files/{record['id']}")
        late = await desk.client.get(f"/files/{record['id']}/content")
        assert (await desk.post("/files/list"))["items"] == []
    assert (early.status_code, late.status_code) == (404, 404)


@pytest.mark.requirement("file:upload")
def test_a_large_file_travels_in_pieces_through_a_socket_and_an_empty_one_too() -> None:
    large = BYTES * 2000  # 10 MB: more than a JSON body may have
    with served() as server:
        for data in (large, b""):
            [record] = httpx.post(
                f"{server.url}/files", json={"files": [{"uri": "", "filename": "a"}]}, headers=BARE
            ).json()
            assert record["upload_url"].startswith(f"{server.url}/files/")
            assert httpx.put(record["upload_url"], content=data).status_code == 200
            read = httpx.get(f"{server.url}/files/{record['id']}/content")
            assert (read.content == data, read.headers["content-length"]) == (True, str(len(data)))


# -- uploads that go wrong ------------------------------------------------------------------------------------------


def _announce_at(url: str, **entry: Any) -> dict[str, Any]:
    [record] = httpx.post(f"{url}/files", json={"files": [{"uri": "", **entry}]}, headers=BARE).json()
    return dict(record)


@pytest.mark.parametrize("encoding", ["length", "chunked"])
def test_an_upload_that_is_cut_off_leaves_nothing_and_can_be_sent_again_to_the_same_url(
    encoding: str, tmp_path: Path
) -> None:
    kept = tmp_path / "a.db.files"
    with served(db=tmp_path / "a.db") as server:
        record = _announce_at(server.url, filename="a.bin", size=len(BYTES))
        parts = urlsplit(record["upload_url"])
        length = f"Content-Length: {len(BYTES)}\r\n" if encoding == "length" else "Transfer-Encoding: chunked\r\n"
        half = BYTES[: len(BYTES) // 2]
        body = half if encoding == "length" else f"{len(half):x}\r\n".encode() + half + b"\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{length}\r\n"
            connection.sendall(head.encode() + body)
            _until(lambda: len(os.listdir(kept)) == 1)  # it began to arrive
        _until(lambda: os.listdir(kept) == [])
        told = httpx.get(f"{server.url}/files/{record['id']}", headers=BARE).json()
        early = httpx.get(f"{server.url}/files/{record['id']}/content")
        again = httpx.put(record["upload_url"], content=BYTES)
        late = httpx.get(f"{server.url}/files/{record['id']}/content")
    assert (early.status_code, told["size"]) == (404, len(BYTES))
    assert (again.status_code, late.content) == (200, BYTES)


def _until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("way", ["announced", "chunked"])
def test_a_file_above_the_limit_is_refused_and_leaves_nothing(way: str, tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield bytes(1 << 20)

    async def put(server: Served) -> httpx.Response:
        record = _announce_at(server.url, filename="a")
        async with httpx.AsyncClient() as client:
            content: Any = pieces() if way == "chunked" else bytes(6 << 20)
            return await client.put(record["upload_url"], content=content)

    with served(db=tmp_path / "a.db", max_upload_bytes=5 << 20) as server:
        try:
            response = asyncio.run(put(server))
        except httpx.TransportError:
            response = None  # it hung up while we were still sending
        kept = os.listdir(tmp_path / "a.db.files")
    assert response is None or (response.status_code == 413 and "5,242,880 bytes" in response.text)
    assert kept == []


@pytest.mark.asyncio_only
async def test_a_large_file_is_taken_and_given_without_being_loaded() -> None:
    size, piece = 64 << 20, bytes(1 << 20)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    async with in_process() as desk:
        record = await _announce(desk, filename="large.bin")
        tracemalloc.start()
        try:
            await desk.client.put(record["upload_url"], content=pieces())
            _, chunks = await desk.platform.files.content("local", record["id"])
            read = sum([len(chunk) async for chunk in chunks])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert read == size
    assert peak < 12 << 20


# -- what kind of file it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "data", "kind"),
    [
        ({"filename": "a.png"}, b"x", "image/png"),
        ({"filename": "picture"}, b"\x89PNG\r\n\x1a\n", "image/png"),
        ({"filename": ""}, b"%PDF-1.7", "application/pdf"),
        ({"filename": "notes"}, "grüße".encode(), "text/plain"),
        ({}, b"\x00\x01", "application/octet-stream"),
        ({"filename": "a.png", "content_type": "text/x-odd"}, b"x", "text/x-odd"),
    ],
)
async def test_a_type_that_nobody_said_is_told_by_the_name_then_by_the_bytes(
    entry: dict[str, Any], data: bytes, kind: str
) -> None:
    async with in_process() as desk:
        record = await _announce(desk, **entry)
        await desk.client.put(record["upload_url"], content=data)
        told = await desk.get(f"/files/{record['id']}")
    assert told["content_type"] == kind
    assert record["content_type"] in (kind, "application/octet-stream")  # before the bytes were here


async def test_a_form_without_a_type_is_told_by_its_bytes() -> None:
    async with in_process() as desk:
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%PDF-1.7\r\n--b--\r\n'
        headers = {**BARE, "Content-Type": "multipart/form-data; boundary=b"}
        record = (await desk.client.post("/files", content=body, headers=headers)).json()
    assert record["content_type"] == "application/pdf"


# -- forms ---------------------------------------------------------------------------------------------------------


async def test_a_form_with_a_file_is_stored_as_it_describes_itself() -> None:
    async with in_process() as desk:
        form = {"filename": "c.txt", "path": "docs", "public": "true", "content_type": "text/markdown"}
        response = await desk.client.post("/files", data=form, files={"file": ("a.txt", BYTES)}, headers=BARE)
        record = response.json()
        read = await desk.client.get(f"/files/{record['id']}/content")
    assert (record["filename"], record["path"], record["visibility"]) == ("c.txt", "docs", "public")
    assert (read.content, read.headers["content-type"]) == (BYTES, "text/markdown")


async def test_a_form_without_a_file_is_refused() -> None:
    async with in_process() as desk:
        response = await desk.client.post("/files", files={"other": ("a", b"x")}, headers=BARE)
    assert (response.status_code, response.json()["detail"]) == (400, "the form has no field `file`")


def _part(head: bytes, data: bytes) -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + data + b"\r\n"


def test_a_form_keeps_every_byte_of_its_fields() -> None:
    head = b'Content-Disposition: form-data; name="file"; filename="\xc3\xa4.bin"\r\nContent-Type: image/png'
    body = (
        b"preamble\r\n"
        + _part(head, BYTES)
        + _part(b'content-disposition: form-data; name="n"', b"")
        + b"--b--\r\nepilogue"
    )
    assert parse('multipart/form-data; boundary="b"', body) == [
        Field("file", BYTES, "ä.bin", "image/png"),
        Field("n", b"", None, "text/plain"),
    ]


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        ("multipart/form-data", b"--b--", "without a boundary"),
        ("multipart/form-data; boundary=b", b"", "cut off"),
        ("multipart/form-data; boundary=b", _part(b'Content-Disposition: form-data; name="a"', b"x"), "cut off"),
        ("multipart/form-data; boundary=b", b"--b\r\nno blank line--b--", "cut off"),
        ("multipart/form-data; boundary=b", b"--b\r\nno blank line\r\n--b--", "blank line"),
        ("multipart/form-data; boundary=b", _part(b"Content-Type: text/plain", b"x") + b"--b--", "no name"),
        (
            "multipart/form-data; boundary=b",
            _part(b'Content-Disposition: form-data; name="a"', b"x") * 101 + b"--b--",
            "100 fields",
        ),
    ],
)
def test_what_is_no_form_is_refused_with_its_reason(content_type: str, body: bytes, why: str) -> None:
    with pytest.raises(Fault, match=why):
        parse(content_type, body)


def test_data_that_looks_almost_like_a_boundary_is_data() -> None:
    almost = b"\n--b\r\n-b--\r\n --b"
    body = _part(b'Content-Disposition: form-data; name="a"', almost) + b"--b--"
    assert parse("multipart/form-data; boundary=b", body)[0].data == almost
