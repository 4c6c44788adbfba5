"""CALL: one per client-tool invocation of a chat. Who runs it, and whether the platform has its result.

| event \\ state | RUNNING | POSTING | LEFT | ANSWERED | MOOT |
|---|---|---|---|---|---|
| FINISHED | POSTING / post | - | - | - | . |
| POSTED | - | ANSWERED | - | . | - |
| POST_FAILED | - | LEFT / complain | - | . | - |
| SUBMIT | . | . | POSTING / post | . | . |
| SETTLED | MOOT / cancel | ANSWERED | MOOT | . | . |
| ABANDONED | LEFT / cancel | LEFT | . | . | . |

`.` stays: late news of a call that has moved on; `-` cannot happen: LocalProtocolError. RUNNING: a handler here. LEFT:
somebody else's, or ours but not answered; it waits for `submit`. SETTLED: the platform says so. ABANDONED: we stop
listening before it is answered.

A `Calls` belongs to a chat and outlives its turns: a handler starts at most once per invocation id, whatever is
replayed, fetched again or resumed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import Enum, auto
from typing import Final, TypeAlias

from agentkit.errors import LocalProtocolError

__all__ = ["CALL", "Call", "CallEvent", "Calls"]


class Call(Enum):
    """How far a call is."""

    RUNNING = auto()
    POSTING = auto()
    LEFT = auto()
    ANSWERED = auto()
    MOOT = auto()


class CallEvent(Enum):
    """What happens to it."""

    FINISHED = auto()
    POSTED = auto()
    POST_FAILED = auto()
    SUBMIT = auto()
    SETTLED = auto()
    ABANDONED = auto()


_C, _E = Call, CallEvent
Row: TypeAlias = dict[CallEvent, tuple[Call, str]]

CALL: Final[dict[Call, Row]] = {
    _C.RUNNING: {
        _E.FINISHED: (_C.POSTING, "post"),
        _E.SUBMIT: (_C.RUNNING, ""),
        _E.SETTLED: (_C.MOOT, "cancel"),
        _E.ABANDONED: (_C.LEFT, "cancel"),
    },
    _C.POSTING: {
        _E.POSTED: (_C.ANSWERED, ""),
        _E.POST_FAILED: (_C.LEFT, "complain"),
        _E.SUBMIT: (_C.POSTING, ""),
        _E.SETTLED: (_C.ANSWERED, ""),
        _E.ABANDONED: (_C.LEFT, ""),
    },
    _C.LEFT: {
        _E.SUBMIT: (_C.POSTING, "post"),
        _E.SETTLED: (_C.MOOT, ""),
        _E.ABANDONED: (_C.LEFT, ""),
    },
    _C.ANSWERED: {
        _E.POSTED: (_C.ANSWERED, ""),
        _E.POST_FAILED: (_C.ANSWERED, ""),
        _E.SUBMIT: (_C.ANSWERED, ""),
        _E.SETTLED: (_C.ANSWERED, ""),
        _E.ABANDONED: (_C.ANSWERED, ""),
    },
    _C.MOOT: {
        _E.FINISHED: (_C.MOOT, ""),
        _E.SUBMIT: (_C.MOOT, ""),
        _E.SETTLED: (_C.MOOT, ""),
        _E.ABANDONED: (_C.MOOT, ""),
    },
}


class Calls:
    """The client-tool calls of one chat."""

    def __init__(self) -> None:
        self._states: dict[str, Call] = {}

    def __contains__(self, id_: object) -> bool:
        return id_ in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._states))

    def get(self, id_: str) -> Call | None:
        """The call's state; None: never heard of."""
        return self._states.get(id_)

    def begin(self, id_: str, state: Call) -> None:
        """Notes a call that was never heard of before."""
        if id_ in self._states:
            raise LocalProtocolError(f"call {id_!r} has begun already; it is {self._states[id_].name}")
        self._states[id_] = state

    def advance(self, id_: str, event: CallEvent) -> str:
        """Moves the call on; returns what to do about it: post, cancel, complain or "" for nothing.

        An id that was never begun is a server tool's, or that of a call we know nothing of: nothing to do.
        """
        state = self._states.get(id_)
        if state is None:
            return ""
        try:
            self._states[id_], act = CALL[state][event]
        except KeyError:
            raise LocalProtocolError(f"call {id_!r}: {event.name} cannot happen while {state.name}") from None
        return act

    def has_any(self, states: Collection[Call]) -> bool:
        """Whether a call is in one of these states."""
        return any(state in states for state in self._states.values())

    def of(self, *states: Call) -> list[str]:
        """The ids of the calls in these states, oldest first."""
        return [id_ for id_, state in self._states.items() if state in states]
