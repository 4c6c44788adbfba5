"""RUN, INVOCATION, INTERRUPT, TASK and SESSION: which event takes a row from which state to which. Tables, no branches.

A pair that is absent cannot happen; `after` then raises `Refused`, and the caller either has a bug or lost a race.
Terminal states have no row. Sources: design.md 5, protocol.md 2.4, 3.1, 6.3 ("Transitions").
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, TypeVar

from agentkit.wire import AgentRunState, AppSessionStatus, InterruptStatus, TaskStatus, ToolInvocationStatus

__all__ = [
    "INTERRUPT",
    "INVOCATION",
    "RUN",
    "SESSION",
    "TASK",
    "InterruptEvent",
    "InvocationEvent",
    "Refused",
    "RunEvent",
    "SessionEvent",
    "TaskEvent",
    "after",
    "is_open",
]


class RunEvent(Enum):
    """What happens to a run."""

    BEGIN = auto()  # its turn in the chat's queue has come
    CALLS = auto()  # the model asked for tools
    SETTLED = auto()  # every invocation of the last message has its result
    PARKED = auto()  # only a person can move it on
    TEXT = auto()  # the model answered, and that is all
    REMIND = auto()  # the model answered without the finish call its schema asks for: tell it once
    FINISH = auto()  # the finish call fits
    INVALID = auto()  # the finish call misses the schema: tell the model
    OBJECTED = auto()  # a hook does not take the answer: tell the model
    ANSWERED = auto()  # a person decided
    FAIL = auto()  # a model error, a limit, or the output budget is spent
    STOP = auto()  # somebody stopped it


class InvocationEvent(Enum):
    """What happens to a tool invocation."""

    GATE = auto()  # a person has to approve first
    HAND_OVER = auto()  # a client runs it
    EXECUTE = auto()  # we run it
    DENY = auto()  # rejected, or the approval expired
    RESULT = auto()
    ERROR = auto()  # refused before it ran, failed, or timed out
    UNKNOWN = auto()  # it was begun, and nobody knows what came of it: a person is asked
    STOP = auto()


class InterruptEvent(Enum):
    """What happens to a question to a person."""

    ALLOW = auto()
    DENY = auto()
    EXPIRE = auto()
    CANCEL = auto()


class TaskEvent(Enum):
    """What happens to a task."""

    QUEUE = auto()  # its time has come: it waits for a worker
    CLAIM = auto()  # a worker took it
    PREPARE = auto()  # the app's environment is made
    SERVE = auto()  # the app is loaded
    SET_UP = auto()  # the app's setup runs
    RUN = auto()  # its function was called: from here on it may have had effects
    UPLOAD = auto()  # the files it made are stored
    COMPLETE = auto()
    FAIL = auto()
    CANCEL = auto()  # somebody wants it cancelled
    CANCELLED = auto()  # it has stopped
    AGAIN = auto()  # its worker or server is gone, and it may be run once more


class SessionEvent(Enum):
    """What happens to a session."""

    END = auto()  # somebody ended it
    EXPIRE = auto()  # it was idle for too long
    LOSE = auto()  # its worker is gone


_R, _V, _I = AgentRunState, ToolInvocationStatus, InterruptStatus
_T, _S, _E = TaskStatus, AppSessionStatus, TaskEvent

RUN: Final[dict[AgentRunState, dict[RunEvent, AgentRunState]]] = {
    _R.SUBMITTED: {
        RunEvent.BEGIN: _R.WORKING,
        RunEvent.STOP: _R.CANCELED,
        RunEvent.FAIL: _R.FAILED,
    },
    _R.WORKING: {
        RunEvent.CALLS: _R.WORKING,
        RunEvent.SETTLED: _R.WORKING,
        RunEvent.PARKED: _R.INPUT_REQUIRED,
        RunEvent.TEXT: _R.COMPLETED,
        RunEvent.REMIND: _R.WORKING,
        RunEvent.FINISH: _R.COMPLETED,
        RunEvent.INVALID: _R.WORKING,
        RunEvent.OBJECTED: _R.WORKING,
        RunEvent.ANSWERED: _R.WORKING,
        RunEvent.FAIL: _R.FAILED,
        RunEvent.STOP: _R.CANCELED,
    },
    _R.INPUT_REQUIRED: {
        RunEvent.ANSWERED: _R.WORKING,
        RunEvent.STOP: _R.CANCELED,
    },
    _R.AUTH_REQUIRED: {
        RunEvent.ANSWERED: _R.WORKING,
        RunEvent.STOP: _R.CANCELED,
    },
}

INVOCATION: Final[dict[ToolInvocationStatus, dict[InvocationEvent, ToolInvocationStatus]]] = {
    _V.PENDING: {
        InvocationEvent.GATE: _V.AWAITING_APPROVAL,
        InvocationEvent.HAND_OVER: _V.AWAITING_INPUT,
        InvocationEvent.EXECUTE: _V.IN_PROGRESS,
        InvocationEvent.ERROR: _V.FAILED,
        InvocationEvent.STOP: _V.CANCELLED,
    },
    _V.AWAITING_APPROVAL: {
        InvocationEvent.HAND_OVER: _V.AWAITING_INPUT,
        InvocationEvent.EXECUTE: _V.IN_PROGRESS,
        InvocationEvent.DENY: _V.CANCELLED,
        InvocationEvent.RESULT: _V.COMPLETED,  # a person's answer in its stead, or it ran after all
        InvocationEvent.ERROR: _V.FAILED,  # it ran after all: the process that was believed gone was not
        InvocationEvent.STOP: _V.CANCELLED,
    },
    _V.AWAITING_INPUT: {
        InvocationEvent.RESULT: _V.COMPLETED,
        InvocationEvent.ERROR: _V.FAILED,
        InvocationEvent.UNKNOWN: _V.AWAITING_APPROVAL,  # its client is gone
        InvocationEvent.STOP: _V.CANCELLED,
    },
    _V.IN_PROGRESS: {
        InvocationEvent.HAND_OVER: _V.AWAITING_INPUT,  # a webhook that will call back
        InvocationEvent.RESULT: _V.COMPLETED,
        InvocationEvent.ERROR: _V.FAILED,
        InvocationEvent.UNKNOWN: _V.AWAITING_APPROVAL,  # its process is gone
        InvocationEvent.STOP: _V.CANCELLED,
    },
}

INTERRUPT: Final[dict[InterruptStatus, dict[InterruptEvent, InterruptStatus]]] = {
    _I.PENDING: {
        InterruptEvent.ALLOW: _I.RESOLVED,
        InterruptEvent.DENY: _I.RESOLVED,
        InterruptEvent.EXPIRE: _I.EXPIRED,
        InterruptEvent.CANCEL: _I.CANCELLED,
    },
}

_STOPS: Final = {_E.FAIL: _T.FAILED, _E.CANCEL: _T.CANCELLING, _E.AGAIN: _T.QUEUED}

TASK: Final[dict[TaskStatus, dict[TaskEvent, TaskStatus]]] = {
    _T.RECEIVED: {_E.QUEUE: _T.QUEUED, _E.FAIL: _T.FAILED, _E.CANCEL: _T.CANCELLED},
    _T.QUEUED: {_E.CLAIM: _T.DISPATCHED, _E.FAIL: _T.FAILED, _E.CANCEL: _T.CANCELLED},
    _T.DISPATCHED: {
        _E.PREPARE: _T.PREPARING,
        _E.SERVE: _T.SERVING,
        _E.SET_UP: _T.SETTING_UP,
        _E.RUN: _T.RUNNING,  # a warm worker
        **_STOPS,
    },
    _T.PREPARING: {_E.SERVE: _T.SERVING, _E.SET_UP: _T.SETTING_UP, _E.RUN: _T.RUNNING, **_STOPS},
    _T.SERVING: {_E.SET_UP: _T.SETTING_UP, _E.RUN: _T.RUNNING, **_STOPS},
    _T.SETTING_UP: {_E.RUN: _T.RUNNING, **_STOPS},
    _T.RUNNING: {_E.UPLOAD: _T.UPLOADING, _E.COMPLETE: _T.COMPLETED, **_STOPS},
    _T.UPLOADING: {_E.COMPLETE: _T.COMPLETED, **_STOPS},
    _T.CANCELLING: {_E.CANCELLED: _T.CANCELLED, _E.COMPLETE: _T.CANCELLED, _E.FAIL: _T.CANCELLED},
}

SESSION: Final[dict[AppSessionStatus, dict[SessionEvent, AppSessionStatus]]] = {
    _S.ACTIVE: {
        SessionEvent.END: _S.ENDED,
        SessionEvent.EXPIRE: _S.EXPIRED,
        SessionEvent.LOSE: _S.ENDED,
    },
}

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


class Refused(Exception):
    """This event cannot happen in this state."""


def after(table: dict[State, dict[Event, State]], state: State, event: Event) -> State:
    """The state that follows. Raises Refused where the table has no such pair."""
    try:
        return table[state][event]
    except KeyError:
        raise Refused(f"{event.name} cannot happen while {state.name.lower()}") from None


def is_open(table: dict[State, dict[Event, State]], state: State) -> bool:
    """Whether anything can still happen in this state."""
    return state in table
