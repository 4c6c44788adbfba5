"""Files between the platform and an app: input comes as copies, output is kept without being loaded."""

from __future__ import annotations

import os
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import AppError
from agentkit.runtime.ports import LocalFile
from tests.runtime.deploying import OWNER, Shop, deploying

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


async def content(shop: Shop, uri: str, *, owner: str = OWNER) -> bytes:
    """The bytes behind one of our URIs."""
    _, chunks = await shop.files.content(owner, uri.split("/")[3])
    return b"".join([chunk async for chunk in chunks])


# -- input ---------------------------------------------------------------------------------------------------------


async def test_files_that_the_input_names_anywhere_are_put_before_the_app(tmp_path: Path) -> None:
    async with deploying() as shop:
        a, b = await shop.upload(b"a", filename="ä 1.txt"), await shop.upload(b"b", filename="b.txt")
        value = {"image": {"uri": a}, "more": [b, b], "text": f"see {b}", "url": "https://example.com/x", "n": 1}
        found = await shop.task_files.fetch(OWNER, value, tmp_path)
        assert {uri: (each.path.read_bytes(), each.filename, each.size) for uri, each in found.items()} == {
            a: (b"a", "ä 1.txt", 1), b: (b"b", "b.txt", 1),
        }  # fmt: skip
        assert found[a].path.name == "ä 1.txt" and found[a].content_type == "text/plain"
        assert all(each.path.is_relative_to(tmp_path) for each in found.values())


async def test_an_app_that_changes_its_input_changes_nothing_on_the_platform(tmp_path: Path) -> None:
    async with deploying() as shop:
        uri = await shop.upload(b"original")
        found = (await shop.task_files.fetch(OWNER, uri, tmp_path))[uri]
        assert stat.S_IMODE(found.path.stat().st_mode) == 0o400
        found.path.chmod(0o600)
        found.path.write_bytes(b"changed!")
        assert await content(shop, uri) == b"original"


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "", "..", "a\x00b", "x" * 500 + ".png", "CON:1"])
async def test_no_name_of_a_file_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    async with deploying() as shop:
        uri = await shop.upload(PNG, filename=name)
        [found] = (await shop.task_files.fetch(OWNER, {"image": {"uri": uri.partition("/..")[0]}}, tmp_path)).values()
        assert found.path.read_bytes() == PNG
        assert found.path.resolve().is_relative_to(tmp_path.resolve())
        assert name[-4:] != ".png" or found.path.suffix == ".png"


async def test_a_file_that_cannot_be_had_is_an_error_that_names_it(tmp_path: Path) -> None:
    async with deploying() as shop:
        theirs = await shop.upload(b"x", owner="eve")
        for uri in (theirs, "inf://files/nothere/a.txt"):
            with pytest.raises(AppError, match="not found") as caught:
                await shop.task_files.fetch(OWNER, {"a": [uri]}, tmp_path)
            assert uri in str(caught.value)
        public = await shop.upload(b"everybody's", owner="eve", public=True)
        [found] = (await shop.task_files.fetch(OWNER, public, tmp_path)).values()
        assert found.path.read_bytes() == b"everybody's"


# -- output --------------------------------------------------------------------------------------------------------


async def test_a_file_of_the_setup_that_cannot_be_had_is_said_to_be_the_setup_s(tmp_path: Path) -> None:
    async with deploying(tmp_path / "a.db") as shop:
        with pytest.raises(AppError, match="the setup names a file that cannot be had"):
            await shop.task_files.fetch(OWNER, {"weights": "inf://files/nothere"}, tmp_path, part="setup")


async def test_a_file_that_an_app_made_is_kept_under_a_uri_of_its_own(tmp_path: Path) -> None:
    async with deploying() as shop:
        path = tmp_path / "out"
        path.write_bytes(PNG)
        kept = await shop.task_files.keep(OWNER, LocalFile(path, filename="result"))
        path.unlink()
        assert await content(shop, kept["uri"]) == PNG
        assert kept == {
            "uri": kept["uri"], "content_type": "image/png", "size": len(PNG), "filename": "result",
        }  # fmt: skip
        with pytest.raises(Exception, match="not found"):
            await content(shop, kept["uri"], owner="eve")


async def test_input_that_is_handed_back_as_it_was_keeps_its_uri(tmp_path: Path) -> None:
    async with deploying() as shop:
        uri = await shop.upload(b"same", filename="a.txt")
        found = (await shop.task_files.fetch(OWNER, uri, tmp_path))[uri]
        assert (await shop.task_files.keep(OWNER, found))["uri"] == uri
        found.path.chmod(0o600)
        found.path.write_bytes(b"other")
        assert (await shop.task_files.keep(OWNER, found))["uri"] != uri


def _nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "said"),
    [(_nothing, "No such file"), (Path.mkdir, "a folder"), (os.mkfifo, "no ordinary file")],
)
async def test_an_output_that_is_no_file_is_an_error_that_names_the_path(tmp_path: Path, make: Any, said: str) -> None:
    path = tmp_path / "out.png"
    make(path)
    async with deploying() as shop:
        with pytest.raises(AppError, match=said) as caught:
            await shop.task_files.keep(OWNER, LocalFile(path))
        assert str(path) in str(caught.value)


async def test_an_output_that_is_too_large_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"x" * 11)
    async with deploying(max_bytes=10) as shop:
        with pytest.raises(AppError, match="larger than the 10 bytes"):
            await shop.task_files.keep(OWNER, LocalFile(path))
        assert list(shop.blobs.folder.iterdir()) == []


@pytest.mark.asyncio_only
@pytest.mark.requirement("file:streams")
async def test_a_large_file_goes_both_ways_without_being_loaded(tmp_path: Path) -> None:
    size = 64 << 20
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(size)
    async with deploying(tmp_path / "a.db") as shop:
        tracemalloc.start()
        try:
            kept = await shop.task_files.keep(OWNER, LocalFile(path))
            [found] = (await shop.task_files.fetch(OWNER, kept["uri"], tmp_path / "in")).values()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (kept["size"], found.path.stat().st_size) == (size, size)
        assert peak < 8 << 20
