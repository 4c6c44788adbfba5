"""References to apps, agents, knowledge and skills (protocol.md 2.2).

>>> Reference.parse("acme/resize@k3v9x2ab:upscale")
Reference(type=None, namespace='acme', name='resize', version='k3v9x2ab', function='upscale')
>>> str(Reference.parse("app/acme/resize@latest"))
'app/acme/resize'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from agentkit.errors import ReferenceSyntaxError

__all__ = ["REFERENCE_TYPES", "Reference"]

REFERENCE_TYPES: Final = frozenset({"app", "agent", "knowledge", "skill"})
UNVERSIONED: Final = "latest"  # means the current version, as does no version at all
FORM: Final = "[type/]namespace/name[@version][:function]"

_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`[type/]namespace/name[@version][:function]`; None for each part that is absent.

    A bare name has no namespace and means the caller's own. Without a version it means the current one.
    """

    type: str | None = None
    namespace: str | None = None
    name: str
    version: str | None = None
    function: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference that `text` spells. Raises ReferenceSyntaxError with what is wrong and how it goes."""
        if not text or _BLANK.search(text):
            raise _wrong(text, "is empty" if not text else "has white space in it")
        rest, function = _cut_function(text)
        path, at, version = rest.rpartition("@")
        if not at:
            path, version = rest, UNVERSIONED
        type, namespace, name = _split_path(path)
        pinned = None if version == UNVERSIONED else version
        found = cls(type=type, namespace=namespace, name=name, version=pinned, function=function)
        _check(text, found)
        return found

    def __str__(self) -> str:
        path = "/".join(part for part in (self.type, self.namespace, self.name) if part is not None)
        version = "" if self.version is None else f"@{self.version}"
        function = "" if self.function is None else f":{self.function}"
        return f"{path}{version}{function}"

    @property
    def path(self) -> str:
        """`namespace/name`, or the bare name: what stays the same over versions and functions."""
        return self.name if self.namespace is None else f"{self.namespace}/{self.name}"


def _cut_function(text: str) -> tuple[str, str | None]:
    """The text without its function: what follows the last colon, if that stands after the `@` or there is none."""
    before, colon, function = text.rpartition(":")
    return (before, function) if colon and "@" not in function else (text, None)


def _split_path(path: str) -> tuple[str | None, str | None, str]:
    match path.split("/"):
        case [type, namespace, *names] if names and type in REFERENCE_TYPES:
            return type, namespace, "/".join(names)
        case [namespace, name]:
            return None, namespace, name
        case _:
            return None, None, path


def _check(text: str, found: Reference) -> None:
    for part in ("namespace", "name", "version", "function"):
        if getattr(found, part) == "":
            raise _wrong(text, f"has an empty {part}")
    if "" in found.path.split("/"):
        raise _wrong(text, "has an empty part between slashes")
    if "@" in found.path:
        raise _wrong(text, "has more than one @")
    if ":" in found.path:
        raise _wrong(text, "has a colon before its end; the function comes last, after the version")
    if found.function is not None and "/" in found.function:
        raise _wrong(text, "has a slash after the colon; is it a URL?")


def _wrong(text: str, what: str) -> ReferenceSyntaxError:
    return ReferenceSyntaxError(f"reference {text!r} {what}; write {FORM}, for example acme/resize@k3v9x2ab:upscale")
