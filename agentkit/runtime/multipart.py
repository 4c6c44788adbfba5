r"""`multipart/form-data`, as RFC 7578 has it: the fields of a form whose whole body is at hand.

>>> body = b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\na/b\r\n--b--\r\n'
>>> parse("multipart/form-data; boundary=b", body)
[Field(name='path', data=b'a/b', filename=None, content_type='text/plain')]
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message

from agentkit.runtime.faults import Fault

__all__ = ["Field", "parse"]

MAX_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `filename` is set where it is a file."""

    name: str
    data: bytes
    filename: str | None
    content_type: str


def parse(content_type: str, body: bytes) -> list[Field]:
    """The fields in their order. Raises Fault `invalid_request` for what is no form."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = head.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= 70:
        raise Fault("invalid_request", "multipart/form-data without a boundary")
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", errors="replace"))
    if not parts or not parts[-1].startswith(b"--"):
        raise Fault("invalid_request", "the form is cut off: its last boundary is missing")
    if len(parts) > MAX_FIELDS:
        raise Fault("invalid_request", f"a form of more than {MAX_FIELDS} fields")
    return [_field(part) for part in parts[:-1]]


def _field(part: bytes) -> Field:
    padding, line_end, rest = part.partition(b"\r\n")
    head, blank, data = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if padding.strip(b" \t") or not (line_end and blank):
        raise Fault("invalid_request", "a part of the form is not `headers, blank line, content`")
    headers = Message()
    for line in head.decode("utf-8", errors="replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    field = headers.get_param("name", header="content-disposition")
    if not isinstance(field, str) or not field:
        raise Fault("invalid_request", "a part of the form has no name")
    return Field(field, data, headers.get_filename(), headers.get_content_type())
