"""Where the bytes of URLs and data URIs are kept: a folder of files, each complete or absent.

A file is written under a name of its own and renamed when it is whole, so two processes that fetch one URL at the same
time do not disturb each other, and a broken download leaves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from agentkit.apps.content_type import extension_of
from agentkit.errors import FileError

__all__ = [
    "SHOWN",
    "DataURI",
    "cache_folder",
    "cached_place",
    "download_url",
    "keeping_in",
    "parse_data_uri",
    "save_data_uri",
]

NAME_BYTES: Final = 120  # what every file system takes, with room for a temporary ending
SHOWN: Final = 60  # characters of a data URI in a message
_folder: ContextVar[Path | None] = ContextVar("agentkit.apps.cache", default=None)


@contextmanager
def keeping_in(folder: Path) -> Generator[None]:
    """While entered, bytes are kept in this folder, as those that a task names: its owner's, not the app's."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def cache_folder() -> Path:
    """`$FILE_CACHE_DIR`, else `~/.cache/agentkit/files`, unless `keeping_in` says another one."""
    if (folder := _folder.get()) is not None:
        return folder
    named = os.environ.get("FILE_CACHE_DIR")
    return Path(named) if named else Path.home() / ".cache" / "agentkit" / "files"


# -- URLs ----------------------------------------------------------------------------------------------------------


def download_url(url: str) -> str:
    """The path of the URL's bytes: `<cache>/<12 hex digits of host, path and query>/<name>`, fetched once.

    Raises FileError naming the URL.
    """
    target = cached_place(url, cache_folder())
    if not target.exists():
        from agentkit.apps.fetching import fetch, shown  # takes long, and most tasks download nothing

        with _writing(target, what=f"the download of {shown(url)}") as temporary:
            fetch(url, temporary)
    return str(target)


def cached_place(url: str, folder: Path) -> Path:
    """Where in the folder the URL's bytes belong. Raises FileError for what is no URL."""
    try:
        parts = urlsplit(url)
        address = parts.netloc.rpartition("@")[2] + parts.path + (f"?{parts.query}" if parts.query else "")
    except ValueError as error:
        raise FileError(f"cannot download {url!r}: {error}") from None
    if not parts.hostname:
        raise FileError(f"cannot download {url!r}: it names no host")
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    return folder / digest / _safe_name(unquote(parts.path.rpartition("/")[2]), default="download")


# -- data URIs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataURI:
    """A data URI taken apart; `name` is its `name=` parameter, "" without one."""

    content: bytes
    content_type: str
    name: str


def parse_data_uri(uri: str) -> DataURI:
    """RFC 2397: `data:[<type>][;<parameter>=<value>]*[;base64],<data>`, letters of URL-safe base64 included.

    Raises FileError.

    >>> parse_data_uri("data:;charset=utf-8,gr%C3%BC%C3%9Fe").content.decode()
    'grüße'
    """
    head, comma, body = uri[len("data:") :].partition(",")
    if not comma:
        raise FileError(f"{uri[:SHOWN]!r} has no comma; a data URI looks like 'data:image/png;base64,iVBORw0...'")
    kind, *parameters = [part.strip() for part in head.split(";")]
    is_base64 = bool(parameters) and parameters[-1].lower() == "base64"
    names = [value for key, _, value in (part.partition("=") for part in parameters) if key in ("name", "filename")]
    name = unquote(names[0]).strip('"') if names else ""
    content = _unpacked(body, uri) if is_base64 else unquote_to_bytes(body)
    return DataURI(content, kind.lower() or "text/plain", name)


def save_data_uri(uri: str) -> tuple[str, str]:
    """Path and content type of the data URI's bytes, kept in the cache. Raises FileError."""
    parsed = parse_data_uri(uri)
    digest = hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    default = f"file{extension_of(parsed.content_type)}"
    target = cache_folder() / "data" / digest / _safe_name(parsed.name, default=default)
    if not target.exists():
        with _writing(target, what="the bytes of a data URI") as temporary:
            temporary.write_bytes(parsed.content)
    return str(target), parsed.content_type


def _unpacked(body: str, uri: str) -> bytes:
    packed = b"".join(unquote_to_bytes(body).split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error as error:
        raise FileError(f"{uri[:SHOWN]!r} says base64, and its data is not: {error}") from None


# -- names and places ----------------------------------------------------------------------------------------------


def _safe_name(name: str, *, default: str) -> str:
    """The name as one part of a path: no separators, no control characters, not too long."""
    kept = "".join(letter for letter in name if letter.isprintable() and letter not in '/\\:*?"<>|').strip(". ")
    if not kept:
        return default
    stem, dot, ending = kept.rpartition(".")
    room = NAME_BYTES - len(dot + ending)
    cut = _cut(stem, room) + dot + ending if dot and room > 0 else _cut(kept, NAME_BYTES)
    return cut


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


@contextmanager
def _writing(target: Path, *, what: str) -> Generator[Path]:
    """A temporary file next to the target, which takes its place at the end, or goes."""
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot keep {what} in {str(target.parent)!r}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        with suppress(OSError):
            target.parent.rmdir()  # does nothing where a file is in it
