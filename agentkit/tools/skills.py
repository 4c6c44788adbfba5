"""The text of a skill (`SKILL.md`): front matter of `key: value` lines between two `---`, and the instructions below.

The front matter is the part of YAML that skills are written in: plain, quoted and block texts at the top level. What
is nested below other keys than `name` and `description` is kept as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import from_json

from agentkit.errors import ConfigError

__all__ = ["FENCE", "NAME", "Skill", "has_front_matter", "parse_skill"]

FENCE: Final = "---"
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,62}[A-Za-z0-9])?")
LONGEST_DESCRIPTION: Final = 1024  # characters
_KEY: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)[ ]*:(?:[ ]+(.*))?")
_BLOCK: Final = re.compile(r"([|>])([+-]?)")
_NO_TEXT: Final = re.compile(r"[\[\]{},&*!%@`|>]|[-?](?= |$)")  # how YAML begins what is no plain text


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill as its author wrote it. `metadata` is the rest of the front matter, as text by key."""

    name: str
    description: str
    content: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


def has_front_matter(text: str) -> bool:
    """Whether the text begins as a SKILL.md does."""
    return text.removeprefix("\ufeff").split("\n", 1)[0].rstrip() == FENCE


def parse_skill(text: str, *, path: str = "SKILL.md") -> Skill:
    """The skill in the text of a SKILL.md. Raises ConfigError with path and line.

    >>> skill = parse_skill("---\\nname: tea\\ndescription: How to make tea\\n---\\nBoil water.\\n")
    >>> skill.name, skill.description, skill.content
    ('tea', 'How to make tea', 'Boil water.')
    """
    if not has_front_matter(text):
        raise ConfigError(f"{path}:1: a skill begins with a line `{FENCE}`, then `name: ...` and `description: ...`")
    lines = text.removeprefix("\ufeff").splitlines()
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() in (FENCE, "...")), None)
    if end is None:
        raise ConfigError(f"{path}:1: the front matter has no end; close it with a line `{FENCE}`")
    reader = _FrontMatter(lines[:end], path)
    values = dict(reader.entries())
    name, description = (reader.needed(values, key) for key in ("name", "description"))
    if not NAME.fullmatch(name):
        raise reader.wrong("name", f"{name!r} is no skill name: letters, digits, `-`, `_`, `.` and spaces, 64 at most")
    if len(description) > LONGEST_DESCRIPTION:
        raise reader.wrong("description", f"it has {len(description)} characters; {LONGEST_DESCRIPTION} at most")
    return Skill(name, description, "\n".join(lines[end + 1 :]).strip(), values)


class _FrontMatter:
    """Reads the lines between the fences; `lines` has the first fence, so that its numbers are the file's."""

    def __init__(self, lines: list[str], path: str) -> None:
        self._lines = lines
        self._path = path
        self._at = 1
        self._line_of: dict[str, int] = {}
        self._nested: set[str] = set()

    def entries(self) -> Iterator[tuple[str, str]]:
        """Key and text of each top-level entry, in order."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.strip() or line.startswith("#"):
                self._at += 1
                continue
            found = _KEY.fullmatch(line.rstrip())
            if found is None:
                raise self._wrong_here(_why_no_entry(line))
            key, value = found[1], (found[2] or "").strip()
            if key in self._line_of:
                raise self._wrong_here(f"{key!r} is there twice; keep one")
            self._line_of[key] = self._at + 1
            self._at += 1
            yield key, self._value(key, value)

    def needed(self, values: dict[str, str], key: str) -> str:
        """The text of an entry that a skill must have; taken out of the values."""
        value = values.pop(key, "").strip()
        if key in self._nested:
            raise self.wrong(key, "it is text, not a list or a mapping; put it in quotes if it only looks like one")
        if not value:
            raise self.wrong(key, f"a skill needs a {key}: write `{key}: ...`")
        return value

    def wrong(self, key: str, what: str) -> ConfigError:
        """The error about an entry; about the beginning where it is missing."""
        return ConfigError(f"{self._path}:{self._line_of.get(key, 1)}: {key}: {what}")

    # -- parts -----------------------------------------------------------------------------------------------------

    def _wrong_here(self, what: str) -> ConfigError:
        return ConfigError(f"{self._path}:{self._at + 1}: {what}")

    def _value(self, key: str, value: str) -> str:
        if found := _BLOCK.fullmatch(_without_comment(value)):
            return self._block(is_folded=found[1] == ">")
        if value[:1] in ('"', "'") and value:
            text = _quoted(value)
            if text is None:
                raise self.wrong(key, f"the quote {value[0]} is not closed on its line, or something follows it")
            return text
        if not _without_comment(value):
            return self._below(key)
        if _NO_TEXT.match(value):
            self._nested.add(key)
            return "\n".join([value, *self._indented()])
        return self._plain(key, value)

    def _plain(self, key: str, value: str) -> str:
        """A text without quotes, which may go on in indented lines."""
        text = " ".join(_without_comment(each.strip()) for each in [value, *self._indented()] if each.strip())
        if ": " in text or text.endswith(":"):
            raise self.wrong(key, "a text with a colon and a space in it has to stand in quotes")
        return text

    def _below(self, key: str) -> str:
        """What is indented below a key without a value of its own: a list or a mapping, as it is written."""
        below = self._indented(or_items=True)
        if below:
            self._nested.add(key)
        return "\n".join(below)

    def _block(self, *, is_folded: bool) -> str:
        lines = self._indented()
        width = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
        dedented = [line[width:].rstrip() for line in lines]
        if not is_folded:
            return "\n".join(dedented).strip("\n")
        paragraphs = "\n".join(dedented).strip("\n").split("\n\n")
        return "\n".join(" ".join(each.split("\n")) for each in paragraphs)

    def _indented(self, *, or_items: bool = False) -> list[str]:
        """The lines that belong to the entry above: indented ones, items of a list, and empty ones between."""
        taken: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and not line.startswith((" ", "- ") if or_items else " "):
                break
            if line.lstrip(" ").startswith("\t"):
                raise self._wrong_here("it is indented with a tab; use spaces")
            taken.append(line)
            self._at += 1
        return taken


def _why_no_entry(line: str) -> str:
    if line.startswith("\t"):
        return "it is indented with a tab; use spaces"
    if line.startswith(" "):
        return "it is indented, and nothing above it has a value that goes on"
    return f"{line.strip()[:60]!r} is no `key: value`"


def _quoted(value: str) -> str | None:
    """The text in the quotes; None where they are not closed, or something but a comment follows."""
    quote = value[0]
    form = r'"((?:[^"\\]|\\.)*)"' if quote == '"' else r"'((?:[^']|'')*)'"
    found = re.match(form, value)
    if found is None or _without_comment(value[found.end() :].strip()):
        return None
    if quote == "'":
        return found[1].replace("''", "'")
    try:
        text = from_json(found[0])
    except ValueError:
        return None
    return text if isinstance(text, str) else None


def _without_comment(value: str) -> str:
    return "" if value.startswith("#") else re.split(r"\s#", value, maxsplit=1)[0].rstrip()
