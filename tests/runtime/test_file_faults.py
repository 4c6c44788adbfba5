"""Files at the wrong moment: unknown, without bytes, deleted while the same content comes in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from agentkit.runtime.faults import Fault
from agentkit.runtime.store.blobs import Blobs
from agentkit.wire import CreateFilesRequest, PartialFile
from tests.runtime.playing import OWNER, Play, playing


async def announce(play: Play, content_type: str = "text/plain") -> tuple[dict[str, Any], str]:
    """A file without bytes, and the token to send them with."""
    request = CreateFilesRequest(files=[PartialFile(filename="a.txt", content_type=content_type)])
    [made] = await play.platform.files.create(OWNER, request, base_url="http://here")
    return made, made["upload_url"].partition("token=")[2]


async def once(data: bytes) -> AsyncGenerator[bytes]:
    yield data


@pytest.mark.parametrize(
    ("attachment", "code"),
    [({}, "invalid_request"), ({"uri": "inf://files/nothere/a"}, "not_found"), ({"uri": "inf://files/"}, "not_found")],
)
async def test_an_attachment_that_names_no_file_is_refused(attachment: dict[str, Any], code: str) -> None:
    async with playing("x") as play:
        with pytest.raises(Fault) as refused:
            await play.say(input={"text": "look", "attachments": [attachment]})
        assert refused.value.code == code


async def test_a_file_whose_bytes_were_never_sent_cannot_be_attached() -> None:
    async with playing("x") as play:
        made, _ = await announce(play)
        with pytest.raises(Fault, match="never sent"):
            await play.say(input={"text": "look", "attachments": [{"uri": made["uri"]}]})


async def test_a_large_attachment_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async with playing("ok") as play:
        made, token = await announce(play)
        await play.platform.files.put(made["id"], token, once(b"x" * (1 << 20) + b"y"))

        async def read(self: Blobs, sha256: str) -> bytes:
            raise AssertionError("read")

        monkeypatch.setattr(Blobs, "read", read)
        await play.say(input={"text": "look", "attachments": [{"uri": made["uri"]}]})
        assert (await play.idle())["active_run"]["state"] == "completed"


async def test_content_that_arrives_while_its_last_file_is_deleted_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new bytes have their place but no record yet when the old record goes: they must not go with it."""
    placed, deleting = anyio.Event(), anyio.Event()
    keep = Blobs.keep

    async def keep_slowly(self: Blobs, partial: Any) -> None:
        await keep(self, partial)
        placed.set()
        with anyio.move_on_after(0.2):  # as long as the delete can get on, let it
            await deleting.wait()

    async with playing(db=tmp_path / "a.db") as play:
        old, old_token = await announce(play)
        await play.platform.files.put(old["id"], old_token, once(b"same"))
        new, new_token = await announce(play)
        monkeypatch.setattr(Blobs, "keep", keep_slowly)
        async with anyio.create_task_group() as group:
            group.start_soon(play.platform.files.put, new["id"], new_token, once(b"same"))
            await placed.wait()
            await play.platform.files.delete(OWNER, old["id"])
            deleting.set()
        _, chunks = await play.platform.files.content(OWNER, new["id"])
        assert b"".join([chunk async for chunk in chunks]) == b"same"


async def test_of_two_uploads_to_one_url_the_second_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    first_is_here = anyio.Event()

    async def late() -> AsyncGenerator[bytes]:
        await first_is_here.wait()
        yield b"second"

    async with playing(db=tmp_path / "a.db") as play:
        made, token = await announce(play)
        async with anyio.create_task_group() as group:

            async def second() -> None:
                with pytest.raises(Fault, match="announce the file again") as refused:
                    await play.platform.files.put(made["id"], token, late())
                assert refused.value.code == "forbidden"

            group.start_soon(second)
            await anyio.wait_all_tasks_blocked()
            await play.platform.files.put(made["id"], token, once(b"first"))
            first_is_here.set()
        assert len(list((tmp_path / "a.db.files").iterdir())) == 1


RECEIVING = """
import sys
import anyio
from pathlib import Path
from agentkit.runtime.store.blobs import Blobs

async def half():
    yield b"half"
    print("here", flush=True)
    await anyio.sleep_forever()

async def main():
    blobs = Blobs(Path(sys.argv[1]))
    await blobs.open()
    await blobs.save(half())

anyio.run(main)
"""


async def test_what_a_killed_server_had_received_by_half_goes_with_the_next_start(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", RECEIVING, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert await anyio.to_thread.run_sync(process.stdout.readline) == b"here\n"
        beside = Blobs(tmp_path)
        await beside.open()
        assert len(list(tmp_path.iterdir())) == 1  # while it is at work, nobody takes it away
        process.kill()
    await beside.open()
    assert list(tmp_path.iterdir()) == []
