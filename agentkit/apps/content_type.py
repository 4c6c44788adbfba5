"""What kind of bytes a file holds: told by its name, else by how it begins."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Final

__all__ = ["BINARY", "extension_of", "guess_content_type"]

BINARY: Final = "application/octet-stream"
HEAD_BYTES: Final = 512

_MAGIC: Final = (  # (offset, bytes, type)
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/x-wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"glTF", "model/gltf-binary"),
)
_NAMED: Final = {  # types that systems differ on, or do not know
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".heic": "image/heic",
    ".jsonl": "application/jsonl",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".ogg": "audio/ogg",
    ".safetensors": BINARY,
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_EXTENSIONS: Final = {"image/jpeg": ".jpg", "text/plain": ".txt", "audio/mpeg": ".mp3", "image/webp": ".webp"}


def guess_content_type(path: str, *, name: str | None = None) -> str:
    """The MIME type of the file at `path`, by its name (or `name`), else by its first bytes.

    >>> guess_content_type("photo.JPG")
    'image/jpeg'
    """
    by_name = _by_name(name) if name else None
    return by_name or _by_name(path) or _by_head(path)


def extension_of(content_type: str) -> str:
    """The usual extension with its dot, "" where there is none."""
    kind = content_type.partition(";")[0].strip().lower()
    return _EXTENSIONS.get(kind) or mimetypes.guess_extension(kind) or ""


def _by_name(name: str) -> str | None:
    known = _NAMED.get(Path(name).suffix.lower())
    return known or mimetypes.guess_type(Path(name).name)[0]


def _by_head(path: str) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return BINARY
    found = (kind for offset, magic, kind in _MAGIC if head[offset:].startswith(magic))
    return next(found, None) or ("text/plain" if _is_text(head) else BINARY)


def _is_text(head: bytes) -> bool:
    if not head or b"\x00" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a letter of up to four bytes, cut at the end of what was read
    return True
