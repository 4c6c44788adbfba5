"""The code of an app as a zip: looked through before it is stored, unpacked before it is run.

Nothing in it can reach beyond its own folder (no absolute names, no `..`, no links), and it cannot grow without bound.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import anyio.to_thread

from agentkit.errors import AppDefinitionError
from agentkit.runtime.faults import Fault
from agentkit.runtime.leftovers import in_the_making, leftovers

__all__ = ["IMPORT", "Bundle", "check_bundle", "is_unpacked", "read_bundle", "remove", "unpack"]

MAX_FILES: Final = 10_000
MAX_BYTES: Final = 1 << 30  # unpacked
MAX_INDEX_BYTES: Final = 4 << 20  # of the zip's own list of files: it is read whole
MAX_NAME_BYTES: Final = 1_000
MAX_SOURCE_BYTES: Final = 1 << 20  # of one .py that is searched for its imports
MANIFEST: Final = "inf.yml"
PYTHON, NODE = "inference.py", "src/inference.js"
CHUNK: Final = 1 << 20
_ENCRYPTED: Final = 0x1
_END: Final = b"PK\x05\x06"  # begins the record at the end of a zip, of 22 bytes and a comment
_LONGEST_END: Final = 22 + 0xFFFF
_SKIPPED: Final = ("__MACOSX",)
IMPORT: Final = re.compile(rb"^\s*(?:from|import)\s+inferencesh\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A zip that was looked through. `top` is the folder in it that holds everything, "" without one."""

    path: Path
    top: str
    files: int
    size: int  # bytes, unpacked
    imports_inferencesh: bool


async def check_bundle(path: Path, *, name: str) -> Bundle:
    """Looks through a zip, every byte of it. Raises Fault `validation_error` with the reason it cannot be an app."""
    try:
        return await anyio.to_thread.run_sync(read_bundle, path)
    except AppDefinitionError as error:
        told = f"{name or 'the file'} is no app: {error}"
        raise Fault("validation_error", told, errors=[{"path": "version.repository", "message": str(error)}]) from None


def read_bundle(path: Path) -> Bundle:
    """As `check_bundle`; blocks. Raises AppDefinitionError."""
    with _opened(path) as archive:
        entries, top = _app_in(archive)
        size, is_compat = 0, False
        for entry in entries:
            content = _content(archive, entry)
            if entry.filename.endswith(".py") and entry.file_size <= MAX_SOURCE_BYTES:
                source = b"".join(content)
                size, is_compat = size + len(source), is_compat or IMPORT.search(source) is not None
            else:
                size += sum(map(len, content))
        return Bundle(path, top, len(entries), size, is_compat)


def unpack(path: Path, target: Path) -> None:
    """Unpacks the zip's app to `target`, read-only; whole, or not at all. Blocks; raises AppDefinitionError, OSError.

    `target` is the last thing to appear. Whoever unpacks the same at the same time makes the same.
    """
    temporary = in_the_making(target)
    temporary.mkdir(parents=True)
    for each in leftovers(target):
        remove(each)
    try:
        with _opened(path) as archive:
            entries, top = _app_in(archive)
            for entry in entries:
                _write(archive, entry, temporary / _inner(entry, top))
        _close(temporary)
        _rename(temporary, target)
    finally:
        remove(temporary)


def is_unpacked(path: Path, target: Path) -> bool:
    """Whether all of the zip's app lies in `target`, every file at its size. Blocks."""
    if not target.is_dir():
        return False
    with _opened(path) as archive:
        entries, top = _app_in(archive)
        return all(_size_of(target / _inner(entry, top)) == entry.file_size for entry in entries)


def remove(folder: Path) -> None:
    """Removes an unpacked app, read-only as it is; what cannot be removed stays."""
    if folder.is_dir():
        for each in (folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())):
            os.chmod(each, 0o700)
        shutil.rmtree(folder, ignore_errors=True)


# -- what is in it -------------------------------------------------------------------------------------------------


def _opened(path: Path) -> zipfile.ZipFile:
    if (size := _index_bytes(path)) > MAX_INDEX_BYTES:
        raise AppDefinitionError(f"its list of files is {size:,} bytes; {MAX_INDEX_BYTES:,} are allowed")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise AppDefinitionError(f"it is not a zip ({error})") from None


def _index_bytes(path: Path) -> int:
    """The size of the zip's list of files as its end tells it, before anybody reads it; 0 where it has no end."""
    with path.open("rb") as file:
        whole = file.seek(0, os.SEEK_END)
        file.seek(max(0, whole - _LONGEST_END))
        end = file.read()
    at = end.rfind(_END)
    told = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
    return min(told, whole)  # 0xffffffff: the size is in another place, and large


def _app_in(archive: zipfile.ZipFile) -> tuple[list[zipfile.ZipInfo], str]:
    """The files of the app, and the folder that holds them; what lies beside that folder is no part of the app."""
    entries = _checked(archive)
    top = _top(entries)
    return [each for each in entries if each.filename.startswith(top)], top


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of the archive, each under a harmless name of its own."""
    entries = [each for each in archive.infolist() if not _is_skipped(each)]
    if len(entries) > MAX_FILES:
        raise AppDefinitionError(f"it has {len(entries):,} files; {MAX_FILES:,} are allowed")
    if (size := sum(each.file_size for each in entries)) > MAX_BYTES:
        raise AppDefinitionError(f"it is {size:,} bytes unpacked; {MAX_BYTES:,} are allowed")
    seen: set[str] = set()
    for entry in entries:
        _check_entry(entry)
        if entry.filename.rstrip("/") in seen:
            raise AppDefinitionError(f"{entry.filename!r} is in it twice")
        seen.add(entry.filename.rstrip("/"))
    files = [each for each in entries if not each.is_dir()]
    names = {each.filename for each in files}
    for name in sorted(names):
        if (parent := next((each for each in _parents(name) if each in names), None)) is not None:
            raise AppDefinitionError(f"{parent!r} is a file in it and a folder as well")
    return files


def _is_skipped(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.split("/", 1)[0] in _SKIPPED


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in entry.orig_filename or re.match(r"[A-Za-z]:", name):
        raise AppDefinitionError(f"{name!r} is not a relative path with forward slashes")
    if any(part in ("", ".", "..") for part in parts):
        raise AppDefinitionError(f"{name!r} leads out of the app's folder, or nowhere")
    if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise AppDefinitionError(f"{name[:80]!r}... is longer than the {MAX_NAME_BYTES:,} bytes a path may have")
    if "\x00" in entry.orig_filename or any(len(part.encode("utf-8", "replace")) > 255 for part in parts):
        raise AppDefinitionError(f"{name[:80]!r} cannot be the name of a file")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise AppDefinitionError(f"{name!r} is a link or a device; only files and folders may be in it")
    if entry.flag_bits & _ENCRYPTED:
        raise AppDefinitionError(f"{name!r} is encrypted")


def _parents(name: str) -> Iterator[str]:
    return (str(each) for each in PurePosixPath(name).parents if str(each) != ".")


def _top(entries: list[zipfile.ZipInfo]) -> str:
    """The folder that holds the app: none, or the only one at the top."""
    names = {each.filename for each in entries}
    tops = {name.partition("/")[0] for name in names if "/" in name}
    candidates = ["", *([f"{next(iter(tops))}/"] if len(tops) == 1 else [])]
    for top in candidates:
        if f"{top}{MANIFEST}" in names and (f"{top}{PYTHON}" in names or f"{top}{NODE}" in names):
            return top
    at = next((top for top in candidates if f"{top}{MANIFEST}" in names), None)
    missing = MANIFEST if at is None else PYTHON
    raise AppDefinitionError(
        f"{missing} is missing: zip the app's folder so that {MANIFEST} and {PYTHON} are at the top, or in one folder"
    )


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a file, never more than it claims to have."""
    try:
        with archive.open(entry) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise AppDefinitionError(f"{entry.filename!r} in it cannot be read: {error}") from None


# -- on the disk ---------------------------------------------------------------------------------------------------


def _inner(entry: zipfile.ZipInfo, top: str) -> str:
    """The path within the app."""
    return entry.filename.removeprefix(top)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    is_program = bool((entry.external_attr >> 16) & 0o111)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o500 if is_program else 0o400)
    with os.fdopen(handle, "wb") as file:
        for chunk in _content(archive, entry):
            file.write(chunk)


def _close(folder: Path) -> None:
    for each in folder.rglob("*"):
        if each.is_dir():
            each.chmod(0o500)


def _rename(temporary: Path, target: Path) -> None:
    """Gives the folder its name. One that is there already was made by somebody else, or is incomplete: it goes."""
    try:
        os.rename(temporary, target)
    except OSError:
        remove(target)
        os.rename(temporary, target)
    target.chmod(0o500)


def _size_of(path: Path) -> int | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
