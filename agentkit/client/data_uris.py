"""Data URIs (RFC 2397): `data:[<type>][;<parameter>=<value>][;base64],<data>`."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from agentkit.errors import UsageError

__all__ = ["decode", "is_data_uri"]

_HEAD = re.compile(
    r"data:(?:[\w!#$&^.+*-]+/[\w!#$&^.+*-]+)?(?:;[\w!#$&^.+%*-]+=(?:\"[^\"]*\"|[^;,\s]*))*(?:;base64)?,",
    re.IGNORECASE | re.ASCII,
)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_DEFAULT_TYPE = "text/plain"


def is_data_uri(text: str) -> bool:
    """Whether this text is one, and not a sentence that begins with "data:"."""
    return _HEAD.match(text) is not None


def decode(uri: str) -> tuple[bytes, str]:
    """The bytes and the content type, parameters such as charset included. Raises UsageError for what is none.

    >>> decode("data:text/plain;charset=utf-8,a%20b")
    (b'a b', 'text/plain;charset=utf-8')
    >>> decode("data:;base64,YWI")
    (b'ab', 'text/plain')
    """
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise UsageError("this data URI has no comma; it looks like 'data:image/png;base64,iVBORw0...'")
    kind, *parameters = (part.strip() for part in head.split(";"))
    is_base64 = bool(parameters) and parameters[-1].lower() == "base64"
    if is_base64:
        parameters.pop()
    content = unquote_to_bytes(body)
    if is_base64:
        content = _from_base64(content)
    return content, ";".join([kind.lower() or _DEFAULT_TYPE, *(each for each in parameters if each)])


def _from_base64(packed: bytes) -> bytes:
    """Standard or URL-safe letters, with or without padding and line breaks."""
    packed = b"".join(packed.split()).translate(_URL_SAFE).rstrip(b"=")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error:
        raise UsageError("this data URI says base64, and its data is not") from None
