"""Who answers a question: as far as their key proves it, as they say, and whether it is theirs to answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from agentkit.runtime.faults import Fault
from agentkit.runtime.records import InterruptRecord

__all__ = ["Approver", "answering"]

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Approver:
    """A person or program. `name` is proven, `said` is what they call themselves.

    `groups` None: there is nobody to tell apart, because the server asks for no keys; they may answer everything.
    """

    name: str
    groups: frozenset[str] | None = None
    said: str | None = None

    def calling_themselves(self, said: str | None) -> Approver:
        """The same, by the name that a request gives."""
        return replace(self, said=(said or "").strip()[:LONGEST_NAME] or None)

    def may_answer(self, approvers: Collection[str] | None) -> bool:
        """Whether a question to members of these groups is theirs to answer; None: it is everybody's."""
        return approvers is None or self.groups is None or not self.groups.isdisjoint(approvers)

    def check(self, approvers: Collection[str] | None) -> None:
        """Raises Fault `forbidden` where only other groups may answer."""
        if approvers is None or self.may_answer(approvers):
            return
        groups = ", ".join(sorted(approvers))
        raise Fault("forbidden", f"only members of {groups} may answer this, and {self.name} is not one")


def answering(interrupt: InterruptRecord, *, now: str) -> list[str] | None:
    """The groups that may answer now; None: whoever may approve. It is escalated in time, whenever that is noticed."""
    if interrupt.approvers is None:
        return None
    is_due = interrupt.escalate_at is not None and interrupt.escalate_at <= now
    more = interrupt.escalate_to or [] if is_due else []
    return list(dict.fromkeys([*interrupt.approvers, *more]))
