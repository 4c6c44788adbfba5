"""The code of an app as a zip: what is refused, and that it is unpacked whole or not at all."""

from __future__ import annotations

import io
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import anyio
import pytest

from agentkit.errors import AppDefinitionError, AppError, StoreError
from agentkit.runtime import bundles
from tests.runtime.deploying import ECHO, FILES, INF, deploying, zip_of

pytestmark = pytest.mark.heavy  # real processes


def saved(tmp_path: Path, data: bytes) -> Path:
    """The bytes as a file."""
    path = tmp_path / "app.zip"
    path.write_bytes(data)
    return path


def with_entry(entry: zipfile.ZipInfo, content: bytes = b"x") -> bytes:
    """A good app and one entry more."""
    held = io.BytesIO(zip_of())
    with zipfile.ZipFile(held, "a") as archive:
        archive.writestr(entry, content)
    return held.getvalue()


def named(name: str, *, mode: int = 0) -> zipfile.ZipInfo:
    """An entry under a name that the zipfile module would tidy."""
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    entry.external_attr = mode << 16
    return entry


def index_of(files: int) -> bytes:
    """A zip that is nothing but its list of files."""
    entry = b"PK\x01\x02" + struct.pack("<HHHHHHLLLHHHHHLL", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<HHHHLLH", 0, 0, files & 0xFFFF, files & 0xFFFF, len(entry) * files, 0, 0)
    return entry * files + b"PK\x05\x06" + end


# -- looking through -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", ["", "my app/"])
def test_an_app_is_at_the_top_or_in_one_folder(tmp_path: Path, top: str) -> None:
    data = zip_of({**FILES, "deep/er/data.bin": b"\x00" * 1000}, top=top)
    found = bundles.read_bundle(saved(tmp_path, data))
    assert (found.top, found.files, found.size) == (top, 3, len(INF) + len(ECHO) + 1000)


@pytest.mark.parametrize(
    ("source", "is_compat"),
    [
        ("from inferencesh import BaseApp\n", True),
        ("try:\n    import inferencesh.models\nexcept ImportError: pass\n", True),
        ("# import inferencesh\nimport inferenceshx\n", False),
    ],
)
def test_an_app_that_imports_the_official_package_is_known_by_it(tmp_path: Path, source: str, is_compat: bool) -> None:
    data = zip_of({**FILES, "parts/model.py": source})
    assert bundles.read_bundle(saved(tmp_path, data)).imports_inferencesh is is_compat


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/passwd", "relative"),
        ("../outside", "leads out"),
        ("a/../../outside", "leads out"),
        ("a//b", "leads out"),
        ("./a", "leads out"),
        ("C:/a", "relative"),
        ("C:a", "relative"),
        ("..\\outside", "relative|leads out"),
        ("inf.yml", "twice"),
        ("inf.yml/x", "a file in it and a folder"),
        ("a" * 300, "cannot be the name"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.requirement("app:bundles")
def test_a_name_that_reaches_elsewhere_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(AppDefinitionError, match=said):
        bundles.read_bundle(saved(tmp_path, with_entry(named(name))))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(AppDefinitionError, match="link or a device"):
        bundles.read_bundle(saved(tmp_path, with_entry(named("data", mode=kind | 0o777), b"/etc/passwd")))


def test_what_is_no_zip_or_broken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AppDefinitionError, match="not a zip"):
        bundles.read_bundle(saved(tmp_path, b"PK\x03\x04 not really"))
    with pytest.raises(AppDefinitionError, match="not a zip"):
        bundles.read_bundle(saved(tmp_path, zip_of()[:-30]))
    data = bytearray(zip_of({**FILES, "data": bytes(range(256)) * 100}))
    at = data.index(b"data", 200) + 10
    data[at : at + 8] = b"\xff" * 8
    with pytest.raises(AppDefinitionError, match="'data' in it cannot be read"):
        bundles.read_bundle(saved(tmp_path, bytes(data)))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"inference.py": ECHO}, "inf.yml is missing"),
        ({"inf.yml": INF}, "inference.py is missing"),
        ({"a/inf.yml": INF, "b/inference.py": ECHO}, "inf.yml is missing"),
        ({}, "inf.yml is missing"),
    ],
)
def test_a_zip_without_an_app_says_what_is_missing(tmp_path: Path, files: dict[str, str | bytes], said: str) -> None:
    with pytest.raises(AppDefinitionError, match=said):
        bundles.read_bundle(saved(tmp_path, zip_of(files)))


def test_an_app_may_not_be_larger_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_FILES", 3)
    with pytest.raises(AppDefinitionError, match="4 files; 3 are allowed"):
        bundles.read_bundle(saved(tmp_path, zip_of({**FILES, "a": b"", "b": b""})))
    monkeypatch.setattr(bundles, "MAX_BYTES", 100_000)
    with pytest.raises(AppDefinitionError, match="100,000 are allowed"):
        bundles.read_bundle(saved(tmp_path, zip_of({**FILES, "zeros": b"\x00" * 100_001})))


def test_a_file_that_is_larger_than_it_claims_gives_no_byte_too_many(tmp_path: Path) -> None:
    data = bytearray(zip_of({**FILES, "zeros": b"\x00" * 1_000_000}))
    at = data.rindex(b"PK\x01\x02")  # the last entry of the directory
    data[at + 24 : at + 28] = struct.pack("<L", 10)
    with pytest.raises(AppDefinitionError, match="'zeros' in it cannot be read"):
        bundles.read_bundle(saved(tmp_path, bytes(data)))


# -- unpacking -----------------------------------------------------------------------------------------------------


def test_what_is_unpacked_is_read_only_and_keeps_what_could_be_run(tmp_path: Path) -> None:
    held = io.BytesIO(zip_of(top="app/"))
    with zipfile.ZipFile(held, "a") as archive:
        archive.writestr(named("app/bin/tool", mode=0o755), b"#!/bin/sh\n")
    target = tmp_path / "apps" / "v1"
    path = saved(tmp_path, held.getvalue())
    bundles.unpack(path, target)
    modes = {
        each.relative_to(target).as_posix(): stat.S_IMODE(each.stat().st_mode) for each in [target, *target.rglob("*")]
    }
    assert modes == {".": 0o500, "inf.yml": 0o400, "inference.py": 0o400, "bin": 0o500, "bin/tool": 0o500}
    assert bundles.is_unpacked(path, target)
    bundles.remove(target)
    assert os.listdir(tmp_path / "apps") == []


def test_what_became_incomplete_is_seen_and_made_anew(tmp_path: Path) -> None:
    target, path = tmp_path / "v1", saved(tmp_path, zip_of())
    bundles.unpack(path, target)
    (target / "inference.py").chmod(0o600)
    (target / "inference.py").write_text("")
    assert not bundles.is_unpacked(path, target)
    bundles.unpack(path, target)
    assert bundles.is_unpacked(path, target)
    assert sorted(os.listdir(tmp_path)) == ["app.zip", "v1"]


SLOWLY = """
import sys
from pathlib import Path
from agentkit.runtime import bundles
write = bundles._write
def slowly(*arguments):
    write(*arguments)
    print("one", flush=True)
    sys.stdin.read()
bundles._write = slowly
bundles.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.timeout(60)
async def test_a_server_that_is_killed_while_it_unpacks_leaves_nothing_that_counts(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with deploying(db) as shop:
        made = await shop.deploy()
        version_id = made["version_id"]
        zipped = next(shop.blobs.folder.iterdir())
        target = shop.workshop.folder / version_id
        with subprocess.Popen(
            [sys.executable, "-c", SLOWLY, str(zipped), str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert await anyio.to_thread.run_sync(process.stdout.readline) == b"one\n"
            os.kill(process.pid, signal.SIGKILL)
        assert not target.exists()
        source = await shop.source(version_id)
        assert (source.folder / "inference.py").read_text() == ECHO
        assert {each.name for each in shop.workshop.folder.iterdir()} == {version_id, "homes"}


# -- the workshop --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("app:bundles")
async def test_a_version_is_unpacked_once_however_many_ask_and_stays_over_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with deploying(db) as shop:
        version_id = (await shop.deploy())["version_id"]
        folders: list[Path] = []

        async def ask() -> None:
            folders.append((await shop.source(version_id)).folder)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert (set(folders), shop.prepared) == ({Path(f"{db}.apps") / version_id}, 1)
    async with deploying(db) as shop:
        assert (await shop.source(version_id)).folder == folders[0]
        assert shop.prepared == 0


async def test_a_database_in_memory_leaves_no_folder(tmp_path: Path) -> None:
    async with deploying() as shop:
        source = await shop.source((await shop.deploy())["version_id"])
        assert source.folder.is_dir()
    assert not source.folder.parent.exists()


async def test_each_app_has_one_home_over_its_versions_and_restarts_and_no_other_app_has_it(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with deploying(db) as shop:
        first = await shop.deploy()
        other = await shop.deploy(name="other")
        home = (await shop.source(first["version_id"])).home
        assert home is not None and home == Path(f"{db}.apps") / "homes" / first["id"]
        assert home.stat().st_mode & 0o777 == 0o700
        (home / "model.bin").write_bytes(b"weights")
        assert (await shop.source(other["version_id"])).home == home.with_name(other["id"])
    async with deploying(db) as shop:
        second = await shop.deploy({**FILES, "more.py": ""}, id=first["id"])
        assert (second["id"], second["version_id"] != first["version_id"]) == (first["id"], True)
        assert (await shop.source(second["version_id"])).home == home
        assert (home / "model.bin").read_bytes() == b"weights"
        await shop.workshop.forget([], app_id=first["id"])
        assert (home.exists(), home.with_name(other["id"]).exists()) == (False, True)


async def test_a_home_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    async with deploying(tmp_path / "a.db") as shop:
        version_id = (await shop.deploy())["version_id"]
        shop.workshop.folder.mkdir(exist_ok=True)
        (shop.workshop.folder / "homes").write_text("in the way")
        with pytest.raises(StoreError, match=r"the app's home '.*' cannot be made"):
            await shop.source(version_id)


async def test_a_version_that_is_gone_or_without_its_code_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    async with deploying(tmp_path / "a.db") as shop:
        made = await shop.deploy()
        with pytest.raises(AppError, match="was deleted"):
            await shop.source("nothere")
        for each in shop.blobs.folder.iterdir():
            each.unlink()
        with pytest.raises(AppError, match="deploy it"):
            await shop.source(made["version_id"])


def test_what_lies_beside_the_apps_folder_is_no_part_of_it(tmp_path: Path) -> None:
    files = {**{f"app/{name}": content for name, content in FILES.items()}, "app/lib/a.txt": b"a"}
    path = saved(tmp_path, zip_of({**files, "inference.py": b"another", "lib": b"a file", "README": b"read me"}))
    assert bundles.read_bundle(path).files == 3
    bundles.unpack(path, tmp_path / "unpacked")
    assert bundles.is_unpacked(path, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "inference.py").read_text() == ECHO
    assert sorted(each.name for each in (tmp_path / "unpacked").iterdir()) == ["inf.yml", "inference.py", "lib"]
    bundles.remove(tmp_path / "unpacked")


def test_a_path_that_no_disk_can_hold_is_refused_before_it_is_stored(tmp_path: Path) -> None:
    with pytest.raises(AppDefinitionError, match="is longer than"):
        bundles.read_bundle(saved(tmp_path, zip_of({**FILES, "d/" * 3000 + "x": b""})))


def test_a_zip_whose_list_of_files_is_huge_is_refused_before_the_list_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, index_of(200_000))
    began = time.monotonic()
    with pytest.raises(AppDefinitionError, match="its list of files is 9,400,000 bytes"):
        bundles.read_bundle(path)
    assert time.monotonic() - began < 1.0
