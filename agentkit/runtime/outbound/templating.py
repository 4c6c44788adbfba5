"""Templates of HTTP tools filled in: every value escaped for the place where it stands (protocol.md 6.11).

>>> values = Values(arguments={"id": "../admin?x=1", "q": "a&b"})
>>> render_url("https://api.example.com/u/{{args.id}}?q={{args.q}}", values)
'https://api.example.com/u/..%2Fadmin%3Fx%3D1?q=a%26b'

A value is filled in once and never read as a template. What an argument says stays inside its part of the path, its
member of the query or its header: host, port and user of a URL are not its to choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, unquote

from pydantic_core import to_json

from agentkit.protocol.lines import is_array, is_object
from agentkit.tools.templates import Placeholder, placeholders

__all__ = ["NoValue", "Part", "Place", "Values", "as_query", "names", "parts", "render_header", "render_url"]


class NoValue(Exception):
    """The template cannot be filled in; says which placeholder, why, and what would do."""


class Place(Enum):
    """Where in a URL something stands."""

    AUTHORITY = "host"
    PATH = "path"
    QUERY = "query"
    FRAGMENT = "fragment"


@dataclass(frozen=True, slots=True)
class Values:
    """What placeholders stand for. `secrets` has those that were looked up, `call` what tells this call from others."""

    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    call: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a URL: text as it is, or a placeholder."""

    place: Place
    text: str
    placeholder: Placeholder | None = None


_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_BASE: Final = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?P<path>/[^?#\s]*)?", re.I)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BORDERS: Final = {  # what ends a place, and what begins behind it
    Place.AUTHORITY: (("/", Place.PATH), ("?", Place.QUERY), ("#", Place.FRAGMENT)),
    Place.PATH: (("?", Place.QUERY), ("#", Place.FRAGMENT)),
    Place.QUERY: (("#", Place.FRAGMENT),),
    Place.FRAGMENT: (),
}
_MISSING: Final = object()


def names(source: str, *templates: str) -> list[str]:
    """The names of one source (`args`, `context`, `secrets`) in the templates, each once."""
    found = (each.name for template in templates for each in placeholders(template) if each.source == source)
    return list(dict.fromkeys(found))


def parts(template: str) -> Iterator[Part]:
    """The pieces of a URL template, each with its place."""
    place, position = Place.AUTHORITY, 0
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", template)
    if scheme:
        yield Part(place, scheme[0])
        position = scheme.end()
    for placeholder in placeholders(template):
        start = template.index(placeholder.text, position)
        for piece in _pieces(template[position:start], place):
            place = piece.place
            yield piece
        yield Part(place, placeholder.text, placeholder)
        position = start + len(placeholder.text)
    yield from _pieces(template[position:], place)


def render_url(template: str, values: Values) -> str:
    """The URL. A member of the query whose value is one placeholder of an absent argument is left out.

    Raises NoValue.
    """
    by_place: dict[Place, list[Part]] = {place: [] for place in Place}
    for part in parts(template):
        by_place[part.place].append(part)
    authority, base_path = _authority(by_place[Place.AUTHORITY], values)
    path = base_path + _path(by_place[Place.PATH], values)
    query = _query(by_place[Place.QUERY], values)
    return authority + path + (f"?{query}" if query else "")


def render_header(name: str, template: str, values: Values) -> str | None:
    """The header's value; None where it needs an argument that is absent. Raises NoValue."""
    filled: list[str] = []
    position = 0
    for placeholder in placeholders(template):
        start = template.index(placeholder.text, position)
        value = _value(placeholder, values)
        if value is _MISSING:
            return None
        filled += [template[position:start], _text(value)]
        position = start + len(placeholder.text)
    text = "".join([*filled, template[position:]]).strip(" \t")
    if _CONTROLS.search(text):
        raise NoValue(f"the value of header {name!r} would have a line break or another control character in it")
    return text


def as_query(arguments: Mapping[str, Any]) -> str:
    """Arguments as a query: a list is its items under one name, an object its JSON, null nothing.

    >>> as_query({"tag": ["a", "b c"], "deep": True, "none": None})
    'tag=a&tag=b%20c&deep=true'
    """
    members = [(_quoted(name), each) for name, value in arguments.items() for each in _items(value)]
    return "&".join(f"{name}={_quoted(_text(each))}" for name, each in members)


# -- places --------------------------------------------------------------------------------------------------------


def _pieces(text: str, place: Place) -> Iterator[Part]:
    """Text between placeholders, split where one place ends and the next begins; the border is the next one's."""
    begin = searched = 0
    while True:
        borders = [(found, after) for mark, after in _BORDERS[place] if (found := text.find(mark, searched)) >= 0]
        end, after = min(borders, key=lambda each: each[0], default=(len(text), place))
        if end > begin:
            yield Part(place, text[begin:end])
        if after is place:
            return
        place, begin, searched = after, end, end + 1


def _authority(pieces: Sequence[Part], values: Values) -> tuple[str, str]:
    """Scheme and host, and the path that the context may have put behind them."""
    text, base_path = "", ""
    for piece in pieces:
        placeholder = piece.placeholder
        if placeholder is None:
            text += piece.text
            continue
        if placeholder.source != "context":
            raise NoValue(f"{placeholder.text} cannot choose the host of a URL; only {{{{context.NAME}}}} can")
        value = _text(_value(placeholder, values))
        base = _BASE.fullmatch(value) if text == "" else None
        if base is not None:
            base_path = (base["path"] or "").rstrip("/")
            text = value[: len(value) - len(base["path"] or "")]
        elif _AUTHORITY.fullmatch(value) and not base_path:
            text += value
        else:
            raise NoValue(f"{placeholder.text} is no host, so it cannot stand where the host of a URL is")
    return (text if "://" in text else f"https://{text}"), base_path


def _path(pieces: Sequence[Part], values: Values) -> str:
    """The path; what is filled in stays inside its segment, and is neither empty nor a step upwards."""
    segments: list[tuple[str, str]] = [("", "")]  # each segment, and the placeholders in it
    for piece in pieces:
        if piece.placeholder is None:
            first, *rest = piece.text.split("/")
            segments[-1] = (segments[-1][0] + first, segments[-1][1])
            segments += [(each, "") for each in rest]
            continue
        value = _value(piece.placeholder, values)
        if value is _MISSING:
            raise NoValue(f"{piece.text} stands in the path of the URL, so {piece.placeholder.name!r} is needed")
        segments[-1] = (segments[-1][0] + _quoted(_text(value)), segments[-1][1] + piece.text)
    for segment, filled in segments:
        if filled and unquote(segment) in ("", ".", ".."):
            raise NoValue(f"{filled} would make {unquote(segment)!r} a step of the URL's path; send another value")
    return "/".join(segment for segment, _ in segments)


def _query(pieces: Sequence[Part], values: Values) -> str:
    members: list[list[Part]] = [[]]
    for piece in pieces:
        if piece.placeholder is not None:
            members[-1].append(piece)
            continue
        first, *rest = piece.text.removeprefix("?").split("&")
        members[-1] += [Part(Place.QUERY, first)] if first else []
        members += [[Part(Place.QUERY, each)] if each else [] for each in rest]
    return "&".join(text for member in members for text in _member(member, values))


def _member(pieces: Sequence[Part], values: Values) -> Iterator[str]:
    """One member of the query: several of the same name where its value is a list, none where it is absent."""
    match pieces:
        case [Part(placeholder=None, text=before), Part(placeholder=Placeholder() as only)] if before.endswith("="):
            value = _value(only, values)
            items = [] if value is _MISSING else _items(value)
            yield from (before + _quoted(_text(each)) for each in items)
        case []:
            return
        case _:
            yield "".join(_escaped(piece, values) for piece in pieces)


def _escaped(piece: Part, values: Values) -> str:
    if piece.placeholder is None:
        return piece.text
    value = _value(piece.placeholder, values)
    return "" if value is _MISSING else _quoted(_text(value))


# -- values --------------------------------------------------------------------------------------------------------


def _value(placeholder: Placeholder, values: Values) -> Any:
    """What the placeholder stands for, _MISSING for an absent argument. Raises NoValue for all else that is absent."""
    if placeholder.problem:
        raise NoValue(f"{placeholder.text} {placeholder.problem}")
    name = placeholder.name
    match placeholder.source:
        case "args":
            value = values.arguments.get(name)
            return _MISSING if value is None else value
        case "context" if name in values.context:
            return values.context[name]
        case "context":
            raise NoValue(f"{placeholder.text}: the chat has no context variable {name!r}; send it in `context`")
        case "call" if name in values.call:
            return values.call[name]
        case "call":
            raise NoValue(f"{placeholder.text} stands where there is no call")
        case _ if name in values.secrets:
            return values.secrets[name]
        case _:
            raise NoValue(f"{placeholder.text}: the secret {name!r} is not set")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return [each for each in value if each is not None] if is_array(value) else [value]


def _text(value: Any) -> str:
    """A value inside a URL or header: text as it is, everything else as JSON writes it."""
    if isinstance(value, str):
        return value
    if is_object(value) or is_array(value) or value is None or isinstance(value, bool | int | float):
        return to_json(value).decode()
    return str(value)
