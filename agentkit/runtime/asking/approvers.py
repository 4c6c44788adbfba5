"""Who answers a question: as far as their key proves it, as they say, and whether it is theirs to answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from agentkit.runtime.faults import Fault

__all__ = ["Approver"]


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
        return replace(self, said=(said or "").strip() or None)

    def check(self, approvers: Collection[str] | None) -> None:
        """Raises Fault `forbidden` where only other groups may answer."""
        if approvers is None or self.groups is None or self.groups & set(approvers):
            return
        raise Fault("forbidden", f"only members of {', '.join(sorted(approvers))} may answer this; {self.name} is none")
