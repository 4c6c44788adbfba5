"""The tools every agent may have from the platform itself (protocol.md 6.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

__all__ = ["InternalToolsBuilder", "internal_tools"]

_CLASSIC: Final = ("plan", "memory", "widget", "finish")  # all that `.all()` and `.none()` touch


@dataclass(frozen=True, repr=False)
class InternalToolsBuilder:
    """Switches; one that is not touched stays as the platform has it."""

    switches: Mapping[str, bool] = field(default_factory=dict[str, bool])

    def plan(self, enabled: bool = True) -> Self:
        """Write a plan and keep it up to date."""
        return self._with("plan", enabled=enabled)

    def memory(self, enabled: bool = True) -> Self:
        """Remember values for the length of the chat."""
        return self._with("memory", enabled=enabled)

    def widget(self, enabled: bool = True) -> Self:
        """Show forms and buttons (top-level agents only)."""
        return self._with("widget", enabled=enabled)

    def ask_user(self, enabled: bool = True) -> Self:
        """Ask the person a question and wait for the answer: free, one of several choices, or a form."""
        return self._with("ask_user", enabled=enabled)

    def finish(self, enabled: bool = True) -> Self:
        """End the run with an output."""
        return self._with("finish", enabled=enabled)

    def skills(self, enabled: bool = True) -> Self:
        """Load skills on demand."""
        return self._with("skills", enabled=enabled)

    def meta(self, enabled: bool = True) -> Self:
        """Look for tools and call them by name, instead of being told of all at once: for agents with many."""
        return self._with("meta", enabled=enabled)

    def results(self, enabled: bool = True) -> Self:
        """Read on in results that were too long to be given at once."""
        return self._with("results", enabled=enabled)

    def all(self) -> Self:
        """Plan, memory, widget and finish on."""
        return self._with(*_CLASSIC, enabled=True)

    def none(self) -> Self:
        """Plan, memory, widget and finish off."""
        return self._with(*_CLASSIC, enabled=False)

    def build(self) -> dict[str, bool]:
        """The switches that were touched."""
        return dict(self.switches)

    def _with(self, *names: str, enabled: bool) -> Self:
        return type(self)({**self.switches, **dict.fromkeys(names, enabled)})

    def __repr__(self) -> str:
        switches = ", ".join(f"{name}={enabled}" for name, enabled in self.switches.items())
        return f"InternalToolsBuilder({switches})"


def internal_tools() -> InternalToolsBuilder:
    """Which of the platform's own tools an agent has.

    >>> internal_tools().plan().memory(False).build()
    {'plan': True, 'memory': False}
    """
    return InternalToolsBuilder()
