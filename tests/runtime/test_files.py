"""Files: announced, sent once, read by their URI, and put before the model."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agentkit.runtime.faults import Fault
from agentkit.runtime.open import files_beside
from agentkit.runtime.store.blobs import Blobs, TooLarge
from agentkit.wire import CreateFilesRequest, PartialFile
from tests.runtime.playing import OWNER, Play, playing

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


async def once(data: bytes) -> AsyncGenerator[bytes]:
    yield data


async def announce(play: Play, name: str, content_type: str, *, public: bool = False) -> dict[str, Any]:
    request = CreateFilesRequest(files=[PartialFile(filename=name, content_type=content_type, public=public)])
    [made] = await play.platform.files.create(OWNER, request, base_url="http://here")
    return made


async def put(play: Play, made: dict[str, Any], data: bytes) -> None:
    token = made["upload_url"].partition("token=")[2]
    await play.platform.files.put(made["id"], token, once(data))


async def content(play: Play, file_id: str, owner: str | None = OWNER) -> bytes:
    _, chunks = await play.platform.files.content(owner, file_id)
    return b"".join([chunk async for chunk in chunks])


async def test_what_was_put_is_what_is_read() -> None:
    async with playing() as play:
        made = await announce(play, "a.bin", "application/x-a")
        assert made["upload_url"].startswith(f"http://here/files/{made['id']}/content?token=")
        await put(play, made, b"123")
        assert await content(play, made["id"]) == b"123"
        record = await play.platform.files.get(OWNER, made["id"], base_url="http://here")
        assert (record["size"], record["upload_url"]) == (3, "")


async def test_an_upload_url_works_once_and_only_with_its_token() -> None:
    async with playing() as play:
        made = await announce(play, "a.bin", "x/y")
        with pytest.raises(Fault) as wrong:
            await play.platform.files.put(made["id"], "guess", once(b"evil"))
        assert wrong.value.code == "forbidden"
        await put(play, made, b"good")
        with pytest.raises(Fault):
            await put(play, made, b"evil")
        assert await content(play, made["id"]) == b"good"


async def test_a_file_is_its_owners_unless_it_is_public() -> None:
    async with playing() as play:
        mine, everybodys = await announce(play, "a", "x/y"), await announce(play, "b", "x/y", public=True)
        for made in (mine, everybodys):
            await put(play, made, b"1")
        with pytest.raises(Fault):
            await content(play, mine["id"], owner=None)
        assert await content(play, everybodys["id"], owner=None) == b"1"


async def test_the_same_bytes_are_kept_once_and_go_with_their_last_file(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    folder = files_beside(db)
    assert folder is not None
    async with playing(db=db) as play:
        first, second = await announce(play, "a", "x/y"), await announce(play, "b", "x/y")
        for made in (first, second):
            await put(play, made, b"same")
        assert len(os.listdir(folder)) == 1
        await play.platform.files.delete(OWNER, first["id"])
        assert await content(play, second["id"]) == b"same"
        await play.platform.files.delete(OWNER, second["id"])
        assert os.listdir(folder) == []


async def test_only_the_owner_of_the_machine_account_can_read_what_is_kept(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with playing(db=db) as play:
        made = await announce(play, "a", "x/y")
        await put(play, made, b"secret")
        folder = files_beside(db)
        assert folder is not None
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


async def test_a_file_that_is_too_large_leaves_nothing_behind(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "files", max_bytes=10)
    await blobs.open()
    with pytest.raises(TooLarge):
        async with aclosing(once(b"x" * 11)) as chunks:
            await blobs.save(chunks)
    assert os.listdir(tmp_path / "files") == []


async def test_more_files_than_one_transaction_should_write_are_refused_at_once() -> None:
    async with playing() as play:
        with pytest.raises(Fault, match="1,001 files at once; announce at most 1,000"):
            await play.platform.files.create(
                OWNER, CreateFilesRequest(files=[PartialFile()] * 1_001), base_url="http://here"
            )


async def test_a_text_file_is_read_to_the_model_and_an_image_is_shown_to_it() -> None:
    async with playing("ok") as play:
        note, picture = await announce(play, "note.txt", "text/plain"), await announce(play, "p.png", "image/png")
        await put(play, note, "Straße 5".encode())
        await put(play, picture, PNG)
        refs = [{"uri": made["uri"], "filename": made["filename"]} for made in (note, picture)]
        await play.say("look", input={"text": "look", "attachments": refs, "files": [note["uri"]]})
        await play.idle()
        [asked] = play.model.requests[0].messages
        assert asked.text == "look\n\n[note.txt]\nStraße 5"
        assert len(asked.images) == 1
        assert asked.images[0].startswith("data:image/png;base64,")


async def test_somebody_elses_file_cannot_be_attached() -> None:
    async with playing("ok") as play:
        made = await announce(play, "note.txt", "text/plain")
        await put(play, made, b"secret")
        with pytest.raises(Fault) as refused:
            await play.platform.files.attachments("eve", _input(made["uri"]))
        assert refused.value.code == "not_found"


def _input(uri: str) -> Any:
    from agentkit.wire import ChatTaskInput

    return ChatTaskInput.parse({"text": "x", "files": [uri]})
