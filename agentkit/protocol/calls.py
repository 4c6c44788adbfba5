"""CALL: one per client-tool invocation of a chat. Who runs it, and whether the platform has its result.

| event \\ state | RUNNING | POSTING | REPORTING | REPORTED | LEFT | ANSWERED | MOOT |
|---|---|---|---|---|---|---|---|
| FINISHED | POSTING / post | - | - | - | - | - | . |
| POSTED | - | ANSWERED | - | - | - | . | - |
| POST_FAILED | - | LEFT / complain | - | - | - | . | - |
| UNKNOWN | REPORTING / report | - | - | - | - | - | . |
| TOLD | - | - | REPORTED | - | - | - | . |
| NOT_TOLD | - | - | LEFT / complain | - | - | - | . |
| UNTELLABLE | - | - | POSTING / post | - | - | - | . |
| TAKEN | LEFT | - | - | - | - | - | . |
| AGAIN | . | . | . | RUNNING / run | RUNNING / run | . | . |
| SUBMIT | . | . | . | . | POSTING / post | . | . |
| SETTLED | MOOT / cancel | ANSWERED | MOOT | MOOT | MOOT | . | . |
| ABANDONED | LEFT / cancel | LEFT | LEFT | LEFT | . | . | . |

`.` stays: late news of a call that has moved on; `-` cannot happen: LocalProtocolError. RUNNING: a handler here. LEFT:
somebody else's, or ours but not answered; it waits for `submit`. SETTLED: the platform says so. ABANDONED: we stop
listening before it is answered. TAKEN: another process that shares the journal runs it.

UNKNOWN: it was begun before, and nobody can say what came of it. The platform is told (TOLD), asks a person, and shows
the call again as a newer attempt if it is to be run again (AGAIN). UNTELLABLE: it has no way to be told; what is posted
then is an error that says so.

A `Calls` belongs to a chat and outlives its turns: a handler starts at most once per invocation and attempt, whatever
is replayed, fetched again or resumed.
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
    REPORTING = auto()
    REPORTED = auto()
    LEFT = auto()
    ANSWERED = auto()
    MOOT = auto()


class CallEvent(Enum):
    """What happens to it."""

    FINISHED = auto()
    POSTED = auto()
    POST_FAILED = auto()
    UNKNOWN = auto()
    TOLD = auto()
    NOT_TOLD = auto()
    UNTELLABLE = auto()
    TAKEN = auto()
    AGAIN = auto()
    SUBMIT = auto()
    SETTLED = auto()
    ABANDONED = auto()


_C, _E = Call, CallEvent
Row: TypeAlias = dict[CallEvent, tuple[Call, str]]

CALL: Final[dict[Call, Row]] = {
    _C.RUNNING: {
        _E.FINISHED: (_C.POSTING, "post"),
        _E.UNKNOWN: (_C.REPORTING, "report"),
        _E.TAKEN: (_C.LEFT, ""),
        _E.AGAIN: (_C.RUNNING, ""),
        _E.SUBMIT: (_C.RUNNING, ""),
        _E.SETTLED: (_C.MOOT, "cancel"),
        _E.ABANDONED: (_C.LEFT, "cancel"),
    },
    _C.POSTING: {
        _E.POSTED: (_C.ANSWERED, ""),
        _E.POST_FAILED: (_C.LEFT, "complain"),
        _E.AGAIN: (_C.POSTING, ""),
        _E.SUBMIT: (_C.POSTING, ""),
        _E.SETTLED: (_C.ANSWERED, ""),
        _E.ABANDONED: (_C.LEFT, ""),
    },
    _C.REPORTING: {
        _E.TOLD: (_C.REPORTED, ""),
        _E.NOT_TOLD: (_C.LEFT, "complain"),
        _E.UNTELLABLE: (_C.POSTING, "post"),
        _E.AGAIN: (_C.REPORTING, ""),
        _E.SUBMIT: (_C.REPORTING, ""),
        _E.SETTLED: (_C.MOOT, ""),
        _E.ABANDONED: (_C.LEFT, ""),
    },
    _C.REPORTED: {
        _E.AGAIN: (_C.RUNNING, "run"),
        _E.SUBMIT: (_C.REPORTED, ""),
        _E.SETTLED: (_C.MOOT, ""),
        _E.ABANDONED: (_C.LEFT, ""),
    },
    _C.LEFT: {
        _E.AGAIN: (_C.RUNNING, "run"),
        _E.SUBMIT: (_C.POSTING, "post"),
        _E.SETTLED: (_C.MOOT, ""),
        _E.ABANDONED: (_C.LEFT, ""),
    },
    _C.ANSWERED: {
        _E.POSTED: (_C.ANSWERED, ""),
        _E.POST_FAILED: (_C.ANSWERED, ""),
        _E.AGAIN: (_C.ANSWERED, ""),
        _E.SUBMIT: (_C.ANSWERED, ""),
        _E.SETTLED: (_C.ANSWERED, ""),
        _E.ABANDONED: (_C.ANSWERED, ""),
    },
    _C.MOOT: {
        _E.FINISHED: (_C.MOOT, ""),
        _E.UNKNOWN: (_C.MOOT, ""),
        _E.TOLD: (_C.MOOT, ""),
        _E.NOT_TOLD: (_C.MOOT, ""),
        _E.UNTELLABLE: (_C.MOOT, ""),
        _E.TAKEN: (_C.MOOT, ""),
        _E.AGAIN: (_C.MOOT, ""),
        _E.SUBMIT: (_C.MOOT, ""),
        _E.SETTLED: (_C.MOOT, ""),
        _E.ABANDONED: (_C.MOOT, ""),
    },
}


class Calls:
    """The client-tool calls of one chat."""

    def __init__(self) -> None:
        self._states: dict[str, Call] = {}
        self._attempts: dict[str, int] = {}

    def __contains__(self, id_: object) -> bool:
        return id_ in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._states))

    def get(self, id_: str) -> Call | None:
        """The call's state; None: never heard of."""
        return self._states.get(id_)

    def begin(self, id_: str, state: Call, *, attempt: int = 0) -> None:
        """Notes a call that was never heard of before. `attempt`: which one the platform asks for, where it counts."""
        if id_ in self._states:
            raise LocalProtocolError(f"call {id_!r} has begun already; it is {self._states[id_].name}")
        self._states[id_] = state
        self._attempts[id_] = attempt

    def attempt(self, id_: str) -> int:
        """The attempt that was begun here."""
        return self._attempts.get(id_, 0)

    def begin_again(self, id_: str, attempt: int) -> bool:
        """Moves the call on if this is a later attempt; True: a handler is to be started for it."""
        is_begun = attempt > self.attempt(id_) and self.advance(id_, CallEvent.AGAIN) == "run"
        if is_begun:
            self._attempts[id_] = attempt
        return is_begun

    def forget(self, id_: str) -> None:
        """The call is as if it had never been heard of, so the next turn begins it: its journal knows how far it is."""
        self._states.pop(id_, None)
        self._attempts.pop(id_, None)

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
