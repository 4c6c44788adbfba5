"""Asking the program's own rules whether a person is needed for a call: `require_approval(when=function)`.

Only a rule that returns False says no. One that raises, takes too long or returns anything else leaves the call to
people.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio

from agentkit.client.crew import Crew
from agentkit.protocol.effects import Judge
from agentkit.tools.approval import Judge as Rule
from agentkit.tools.context import ToolContext, idempotency_key

__all__ = ["Judges", "Judging"]

logger = logging.getLogger("agentkit.tools")

JUDGE_SECONDS: Final = 30.0


class Judges:
    """The rules of an agent's tools, and of those it asks: by agent tool (None: its own) and the tool's name."""

    def __init__(self, rules: Mapping[tuple[str | None, str], Rule], *, timeout_seconds: float = JUDGE_SECONDS) -> None:
        self._rules = rules
        self._timeout_seconds = timeout_seconds

    def names(self) -> frozenset[str]:
        """Which of the agent's own tools have a rule here."""
        return frozenset(name for agent, name in self._rules if agent is None)

    def names_below(self) -> frozenset[tuple[str, str]]:
        """Which tools of agents that it asks have one: the tool that it asks them with, and the name."""
        return frozenset((agent, name) for agent, name in self._rules if agent is not None)

    def start(self, effect: Judge) -> Judging:
        """The question, ready to be asked."""
        return Judging(self._rules[effect.agent, effect.name], effect, self._timeout_seconds)


@dataclass
class Judging:
    """One question to one rule."""

    rule: Rule
    effect: Judge
    timeout_seconds: float

    def run_sync(self) -> bool:
        """Whether a person is needed. Asks in this thread; an async rule gets an event loop of its own."""
        try:
            said = self.rule(self.effect.args, self._context())
            return self._understood(anyio.run(self._awaited, said) if inspect.isawaitable(said) else said)
        except Exception as error:
            return self._failed(error)

    async def run_async(self, crew: Crew) -> bool:
        """The same in this task, or on a thread of the crew where the rule is a plain function."""
        try:
            with anyio.move_on_after(self.timeout_seconds):
                context = self._context()
                is_ready = self.rule.is_async  # calling it only makes what is awaited here
                said = (
                    self.rule(self.effect.args, context)
                    if is_ready
                    else await crew.call(lambda: self.rule(self.effect.args, context))
                )
                return self._understood(await said if inspect.isawaitable(said) else said)
        except Exception as error:
            return self._failed(error)
        return self.timed_out()

    def timed_out(self) -> bool:
        """What a rule says that took too long."""
        logger.warning("question %s: the rule of %s took too long; a person is asked", self.effect.id, self.effect.name)
        return True

    # -- parts -----------------------------------------------------------------------------------------------------

    def _context(self) -> ToolContext:
        chat_id, invocation_id, name = self.effect.chat_id, self.effect.invocation_id, self.effect.name
        return ToolContext(
            chat_id=chat_id,
            invocation_id=invocation_id,
            tool_name=name,
            idempotency_key=idempotency_key(chat_id, invocation_id, name, self.effect.args),
        )

    def _understood(self, said: Any) -> bool:
        return said is not False

    def _failed(self, error: Exception) -> bool:
        name = self.effect.name
        logger.warning("question %s: the rule of %s raised; a person is asked", self.effect.id, name, exc_info=error)
        return True

    async def _awaited(self, said: Awaitable[Any]) -> Any:
        return await said
