"""An app folder as a zip: the same bytes for the same files, without what does not belong in it."""

from __future__ import annotations

import gc
import os
import zipfile
from pathlib import Path

import pytest

from agentkit import UsageError
from agentkit.client import bundle
from agentkit.client.bundle import files_of, pack

APP = {"inf.yml": "name: a\n", "inference.py": "class App: ...\n", "lib/helper.py": "x = 1\n"}


def folder(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_same_files_make_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    first = folder(tmp_path / "one", APP)
    second = folder(tmp_path / "two", dict(reversed(APP.items())))
    os.utime(second / "inf.yml", (1, 1))
    os.chmod(second / "inf.yml", 0o600)
    one, two = pack(first), pack(second)
    assert one.source.path.read_bytes() == two.source.path.read_bytes()
    assert one.sha256 == two.sha256
    (second / "inf.yml").write_text("name: b\n")
    assert pack(second).sha256 != one.sha256


def test_the_zip_holds_every_file_under_its_name(tmp_path: Path) -> None:
    root = folder(tmp_path, {**APP, "run.sh": "#!/bin/sh\n", "empty.txt": ""})
    os.chmod(root / "run.sh", 0o755)
    packed = pack(root)
    with zipfile.ZipFile(packed.source.path) as archive:
        assert archive.namelist() == sorted([*APP, "empty.txt", "run.sh"])
        assert archive.read("lib/helper.py") == b"x = 1\n"
        assert archive.getinfo("run.sh").external_attr >> 16 & 0o777 == 0o755
        assert archive.getinfo("inf.yml").external_attr >> 16 & 0o777 == 0o644
    assert packed.files == 5


def test_caches_environments_and_version_control_stay_out(tmp_path: Path) -> None:
    rest = [
        ".git/config", "__pycache__/a.pyc", "lib/__pycache__/b.pyc", ".venv/x.py", "node_modules/x/index.js",
        "lib/stale.pyc", ".DS_Store", "my-env/pyvenv.cfg", "my-env/lib/python/x.py", ".mypy_cache/x", ".infignore",
    ]  # fmt: skip
    root = folder(tmp_path, APP | dict.fromkeys(rest, "# nothing\n"))
    assert list(files_of(root)) == sorted(APP)


IGNORE = """
# comments and blank lines mean nothing

*.ckpt
!keep.ckpt
/data/
docs/**/*.png
build
notes?.txt
[ab].bin
lib/*.tmp
deep/**
"""


def test_infignore_reads_as_gitignore_does(tmp_path: Path) -> None:
    ignored = [
        "model.ckpt", "lib/other.ckpt", "data/train.csv", "docs/a.png", "docs/b/c.png", "build/x.py", "lib/build/y.py",
        "notes1.txt", "lib/notes2.txt", "a.bin", "lib/b.bin", "lib/x.tmp", "deep/er/file.txt",
    ]  # fmt: skip
    kept = [
        "keep.ckpt", "lib/keep.ckpt", "lib/data/train.csv", "docs/a.txt", "rebuild/x.py", "notes10.txt", "c.bin",
        "lib/sub/x.tmp", "x.tmp", "data",
    ]  # fmt: skip
    del kept[-1]  # a file cannot have the name of the folder
    root = folder(tmp_path, APP | dict.fromkeys([*ignored, *kept], "x") | {".infignore": IGNORE})
    assert list(files_of(root)) == sorted([*APP, *kept])


def test_a_link_inside_is_packed_and_one_that_leaves_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "app", APP)
    (root / "alias.py").symlink_to("inference.py")
    packed = pack(root)
    with zipfile.ZipFile(packed.source.path) as archive:
        assert archive.read("alias.py") == archive.read("inference.py")
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (root / "evil.txt").symlink_to(secret)
    with pytest.raises(UsageError, match=r"'evil\.txt' is a link to .*\.infignore"):
        pack(root)
    (root / ".infignore").write_text("evil.txt\n")
    assert "evil.txt" not in list(files_of(root))


def test_a_folder_that_links_to_itself_does_not_go_round(tmp_path: Path) -> None:
    root = folder(tmp_path, APP)
    (root / "again").symlink_to(".", target_is_directory=True)
    with pytest.raises(UsageError, match="'again'"):
        pack(root)


def test_too_much_is_refused_naming_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path, {**APP, "weights.bin": "x" * 2000})
    monkeypatch.setattr(bundle, "MAX_BYTES", 1000)
    with pytest.raises(UsageError, match=r"at most 1,000.*weights\.bin \(2,000\)"):
        pack(root)
    monkeypatch.setattr(bundle, "MAX_FILES", 3)
    with pytest.raises(UsageError, match="4 files, at most 3"):
        pack(root)


def test_what_is_no_folder_of_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        pack(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="nothing to deploy"):
        pack(tmp_path)


def test_the_temporary_zip_goes_with_the_bundle(tmp_path: Path) -> None:
    packed = pack(folder(tmp_path, APP))
    path = packed.source.path
    assert path.exists()
    del packed
    gc.collect()
    assert not path.exists()


def test_progress_is_told_file_by_file(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    pack(folder(tmp_path, APP), on_progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_an_app_of_the_sdk_is_known_by_its_import(tmp_path: Path) -> None:
    assert not pack(folder(tmp_path, APP)).imports_sdk
    assert pack(folder(tmp_path, {"lib/helper.py": "import os\n  from inferencesh import File\n"})).imports_sdk
