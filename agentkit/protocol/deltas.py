"""Deltas: one message put together from its increments (protocol.md 6.10).

    >>> message = Accumulator()
    >>> message.apply({"response": "It is "}, 1), message.apply({"response": "18."}, 2)
    (Applied(response='It is ', reasoning='', tool_calls=()), Applied(response='18.', reasoning='', tool_calls=()))
    >>> message.response
    'It is 18.'
    >>> message.apply({"response": "?"}, 4)
    Gap(expected=3, seen=4, is_first=True)

One accumulator per message id, thrown away when the message turns terminal: a snapshot always wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

from agentkit.errors import RemoteProtocolError
from agentkit.protocol.lines import is_array, is_object

__all__ = ["LLM_DELTA", "Accumulator", "Applied", "Duplicate", "Gap", "Malformed", "Merge"]


@dataclass(frozen=True, slots=True)
class Merge:
    """How a field takes an increment; `fields` are the rules inside nested and indexed ones."""

    how: Literal["concat", "nested", "indexed", "replace"]
    fields: Mapping[str, Merge] = field(default_factory=dict[str, "Merge"])


CONCAT: Final = Merge("concat")
REPLACE: Final = Merge("replace")  # of every field that the table does not name
INDEX: Final = "index"

LLM_DELTA: Final[Mapping[str, Merge]] = {  # protocol.md 6.10, "merge strategy per field"
    "response": CONCAT,
    "reasoning": CONCAT,
    "tool_calls": Merge("indexed", {"function": Merge("nested", {"name": REPLACE, "arguments": CONCAT})}),
    "usage": REPLACE,
}


@dataclass(frozen=True, slots=True)
class Applied:
    """The delta counts. What it added to the two texts, and the indexes of the tool calls it touched."""

    response: str = ""
    reasoning: str = ""
    tool_calls: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The delta came before; nothing changed."""

    seq: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Deltas are missing between `expected` and `seen`; nothing changed. Fetch the message, `restore` or drop this.

    Every delta is answered so until then; `is_first` is True once, so that the message is fetched once.
    """

    expected: int
    seen: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class Malformed:
    """The delta is none, `message` says why; nothing changed, and the next one will be a `Gap`."""

    message: str


Outcome: TypeAlias = Applied | Duplicate | Gap | Malformed


class _Text(list[str]):
    """The pieces of a text, joined when read: a long answer does not cost the square of its length."""

    def __str__(self) -> str:
        self[:] = ["".join(self)]
        return self[0]


class Accumulator:
    """The message so far. Reads never show half a delta."""

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}
        self._seq: int | None = None
        self._gap_told = False

    @property
    def seq(self) -> int | None:
        """The number of the last delta that counted; None before the first."""
        return self._seq

    @property
    def response(self) -> str:
        """The answer's text so far."""
        return str(self._state.get("response", ""))

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return str(self._state.get("reasoning", ""))

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The calls by index; `function.arguments` is text, whole JSON only at the end."""
        return cast("list[dict[str, Any]]", self.snapshot().get("tool_calls", []))

    @property
    def usage(self) -> Any:
        """The last usage record, None where none came."""
        return deepcopy(self._state.get("usage"))

    def snapshot(self) -> dict[str, Any]:
        """Everything so far as one LLMDelta, the caller's own copy."""
        return _plain(self._state, LLM_DELTA)

    def apply(self, delta: Any, seq: int | None) -> Outcome:
        """Takes one delta in. Numbers go up by one within a message and start at 0 or 1; None is taken as it comes."""
        if seq is not None and (refused := self._out_of_turn(seq)) is not None:
            return refused
        fault = _fault(delta, LLM_DELTA, at="delta")
        if fault is not None:
            return Malformed(fault)
        _merge(self._state, delta, LLM_DELTA)
        self._seq, self._gap_told = (self._seq if seq is None else seq), False
        return Applied(
            delta.get("response") or "",
            delta.get("reasoning") or "",
            tuple(call[INDEX] for call in delta.get("tool_calls") or ()),
        )

    def _out_of_turn(self, seq: int) -> Duplicate | Gap | None:
        expected = (0 if seq == 0 else 1) if self._seq is None else self._seq + 1
        if seq < expected:
            return Duplicate(seq)
        if seq == expected:
            return None
        first, self._gap_told = not self._gap_told, True
        return Gap(expected, seq, first)

    def restore(self, snapshot: Mapping[str, Any], *, seq: int) -> None:
        """Goes on from a fetched `snapshot` that holds every delta up to `seq`; also to join a message half-way.

        Raises RemoteProtocolError for what is no LLMDelta.
        """
        fault = _fault(snapshot, LLM_DELTA, at="snapshot")
        if fault is not None:
            raise RemoteProtocolError(fault)
        state: dict[str, Any] = {}
        _merge(state, snapshot, LLM_DELTA)
        self._state, self._seq, self._gap_told = state, seq, False


def _merge(state: dict[str, Any], delta: Mapping[str, Any], rules: Mapping[str, Merge]) -> None:
    for name, value in delta.items():
        if value is None:  # null says nothing
            continue
        rule = rules.get(name, REPLACE)
        match rule.how:
            case "concat":
                state.setdefault(name, _Text()).append(value)
            case "nested":
                _merge(state.setdefault(name, {}), value, rule.fields)
            case "indexed":
                entries = state.setdefault(name, {})
                for entry in value:
                    _merge(entries.setdefault(entry[INDEX], {}), entry, rule.fields)
            case "replace":
                state[name] = deepcopy(value)


def _plain(state: Mapping[str, Any], rules: Mapping[str, Merge]) -> dict[str, Any]:
    return {name: _plain_value(value, rules.get(name, REPLACE)) for name, value in state.items()}


def _plain_value(value: Any, rule: Merge) -> Any:
    match rule.how:
        case "concat":
            return str(value)
        case "nested":
            return _plain(value, rule.fields)
        case "indexed":
            return [_plain(value[index], rule.fields) for index in sorted(value)]
        case "replace":
            return deepcopy(value)


def _fault(delta: Any, rules: Mapping[str, Merge], *, at: str) -> str | None:
    """What keeps `delta` from being merged, found before anything is."""
    if not is_object(delta):
        return f"{at} is a {type(delta).__name__}, not an object"
    faults = (
        _value_fault(value, rules[name], at=f"{at}.{name}")
        for name, value in delta.items()
        if value is not None and name in rules
    )
    return next((fault for fault in faults if fault is not None), None)


def _value_fault(value: Any, rule: Merge, *, at: str) -> str | None:
    match rule.how:
        case "concat":
            return None if isinstance(value, str) else f"{at} is a {type(value).__name__}, not text"
        case "nested":
            return _fault(value, rule.fields, at=at)
        case "indexed":
            return _entries_fault(value, rule, at=at)
        case "replace":
            return None


def _entries_fault(value: Any, rule: Merge, *, at: str) -> str | None:
    if not is_array(value):
        return f"{at} is a {type(value).__name__}, not a list"
    for place, entry in enumerate(value):
        fault = _fault(entry, rule.fields, at=f"{at}[{place}]")
        if fault is not None:
            return fault
        if type(entry.get(INDEX)) is not int:
            return f"{at}[{place}] has no integer {INDEX!r}"
    return None
