"""VERDICT: one per question that the program's own rule may answer. Who decides, and does the platform know?

| event \\ state | NEW | JUDGING | ALLOWING | ALLOWED | ASKED |
|---|---|---|---|---|---|
| SEEN | JUDGING / judge | . | . | . | . |
| RESERVED | ASKED | ASKED | ASKED | . | . |
| FREE | - | ALLOWING / allow | - | - | . |
| HELD | - | ASKED / ask | - | - | . |
| TAKEN | - | - | ALLOWED | - | . |
| REFUSED | - | - | ASKED / object | - | . |
| ABANDONED | . | NEW | NEW | . | . |

`.` stays: late news of a question that has moved on; `-` cannot happen: LocalProtocolError. JUDGING: the rule is being
asked. ASKED: a person is. RESERVED: it is for people alone: the platform did not mark it as one that a rule may answer
(another tool of that name, say), or the call may have run already. ABANDONED: we stop listening before the platform
knows; whoever resumes the chat asks the rule again.

A question is an interrupt: a call that is asked about anew (its outcome is unknown, say) has a new one. A `Verdicts`
belongs to a chat and outlives its turns, so no question is judged twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from agentkit.errors import LocalProtocolError
from agentkit.protocol.lines import is_array, is_object

__all__ = ["VERDICT", "Question", "Verdict", "VerdictEvent", "Verdicts"]


class Verdict(Enum):
    """How far a question is."""

    NEW = auto()
    JUDGING = auto()
    ALLOWING = auto()
    ALLOWED = auto()
    ASKED = auto()


class VerdictEvent(Enum):
    """What happens to it."""

    SEEN = auto()
    RESERVED = auto()
    FREE = auto()  # the rule says that no person is needed
    HELD = auto()  # it says that one is, or failed to say
    TAKEN = auto()  # the platform took the approval, or somebody was first
    REFUSED = auto()
    ABANDONED = auto()


_V, _E = Verdict, VerdictEvent
Row: TypeAlias = dict[VerdictEvent, tuple[Verdict, str]]

VERDICT: Final[dict[Verdict, Row]] = {
    _V.NEW: {
        _E.SEEN: (_V.JUDGING, "judge"),
        _E.RESERVED: (_V.ASKED, ""),
        _E.ABANDONED: (_V.NEW, ""),
    },
    _V.JUDGING: {
        _E.SEEN: (_V.JUDGING, ""),
        _E.RESERVED: (_V.ASKED, ""),
        _E.FREE: (_V.ALLOWING, "allow"),
        _E.HELD: (_V.ASKED, "ask"),
        _E.ABANDONED: (_V.NEW, ""),
    },
    _V.ALLOWING: {
        _E.SEEN: (_V.ALLOWING, ""),
        _E.RESERVED: (_V.ASKED, ""),
        _E.TAKEN: (_V.ALLOWED, ""),
        _E.REFUSED: (_V.ASKED, "object"),
        _E.ABANDONED: (_V.NEW, ""),
    },
    _V.ALLOWED: {
        _E.SEEN: (_V.ALLOWED, ""),
        _E.RESERVED: (_V.ALLOWED, ""),
        _E.ABANDONED: (_V.ALLOWED, ""),
    },
    _V.ASKED: {
        _E.SEEN: (_V.ASKED, ""),
        _E.RESERVED: (_V.ASKED, ""),
        _E.FREE: (_V.ASKED, ""),
        _E.HELD: (_V.ASKED, ""),
        _E.TAKEN: (_V.ASKED, ""),
        _E.REFUSED: (_V.ASKED, ""),
        _E.ABANDONED: (_V.ASKED, ""),
    },
}
_OURS: Final = (Verdict.JUDGING, Verdict.ALLOWING, Verdict.ALLOWED)


@dataclass(frozen=True, slots=True)
class Question:
    """An approval that is asked for, as far as a rule cares (protocol.md 6.3, InterruptDTO)."""

    id: str
    invocation_id: str
    tool_name: str
    args: Mapping[str, Any]
    arguments_hash: str
    chat_id: str
    chat_path: Sequence[str]
    is_for_people: bool  # alone: no rule answers it
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, interrupt: Mapping[str, Any]) -> Question | None:
        """What an interrupt asks; None where it is about no tool's approval, or says too little to be answered."""
        meta, id_, about = interrupt.get("meta"), interrupt.get("id"), interrupt.get("resource_id")
        if interrupt.get("reason") != "tool_approval" or not is_object(meta):
            return None
        name, args = meta.get("tool_name"), meta.get("arguments")
        if not (isinstance(id_, str) and isinstance(about, str) and isinstance(name, str) and name):
            return None
        path = interrupt.get("chat_path")
        return cls(
            id=id_,
            invocation_id=about,
            tool_name=name,
            args=args if is_object(args) else {},
            arguments_hash=str(interrupt.get("arguments_hash") or ""),
            chat_id=str(interrupt.get("chat_id") or ""),
            chat_path=[str(each) for each in path] if is_array(path) else [],
            is_for_people=bool(meta.get("unknown_outcome")) or not meta.get("judged"),
            raw=interrupt,
        )


class Verdicts:
    """The questions of one chat that a rule of this program is about."""

    def __init__(self) -> None:
        self._states: dict[str, Verdict] = {}
        self._latest: dict[str, str] = {}  # invocation -> its newest question
        self._questions: dict[str, Question] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._states))

    def get(self, id_: str) -> Verdict | None:
        """The question's state; None: never heard of."""
        return self._states.get(id_)

    def question(self, id_: str) -> Question:
        """What was asked."""
        return self._questions[id_]

    def hear(self, question: Question) -> None:
        """Notes a question; one that was heard before stays as far as it is."""
        if question.id not in self._states:
            self._states[question.id] = Verdict.NEW
            self._questions[question.id] = question
            self._latest[question.invocation_id] = question.id

    def advance(self, id_: str, event: VerdictEvent) -> str:
        """Moves the question on; returns what to do: judge, allow, ask, object or "" for nothing."""
        state = self._states.get(id_)
        if state is None:
            raise LocalProtocolError(f"question {id_!r} was never heard of")
        try:
            self._states[id_], act = VERDICT[state][event]
        except KeyError:
            raise LocalProtocolError(f"question {id_!r}: {event.name} cannot happen while {state.name}") from None
        return act

    @property
    def has_any_under_way(self) -> bool:
        """Whether a rule is asked, or its approval is being sent."""
        return any(state in (Verdict.JUDGING, Verdict.ALLOWING) for state in self._states.values())

    def is_ours(self, id_: object) -> bool:
        """Whether no person need answer this question: the rule is asked, or has allowed it."""
        return isinstance(id_, str) and self._states.get(id_) in _OURS

    def is_ours_on(self, invocation_id: str) -> bool:
        """The same of the newest question about this invocation."""
        return self.is_ours(self._latest.get(invocation_id))

    def is_heard_on(self, invocation_id: str) -> bool:
        """Whether a question about this invocation was heard."""
        return invocation_id in self._latest

    def has_allowed_on(self, invocation_id: str) -> bool:
        """Whether the rule allowed this invocation, by its newest question."""
        return self._states.get(self._latest.get(invocation_id, "")) is Verdict.ALLOWED
