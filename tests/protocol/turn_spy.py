"""Which cells of the tables a run of the machines visits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from agentkit.protocol.calls import CALL, CallEvent, Calls
from agentkit.protocol.link import LINK, Link, LinkEvent
from agentkit.protocol.turn import TURN, Symbol, TurnMachine
from agentkit.protocol.verdicts import VERDICT, Verdict, VerdictEvent, Verdicts

Cell = tuple[str, str]


def cells() -> set[Cell]:
    """Every cell of the four tables."""
    tables = (TURN, LINK, CALL, VERDICT)
    return {(state.name, event.name) for table in tables for state, row in table.items() for event in row}


@contextmanager
def watching(seen: set[Cell]) -> Iterator[None]:
    """Notes every cell that is entered."""
    turn, go, advance, judge = TurnMachine._turn, Link._go, Calls.advance, Verdicts.advance

    def spy_turn(self: TurnMachine, symbol: Symbol) -> None:
        seen.add(_cell(self.state, symbol))
        turn(self, symbol)

    def spy_go(self: Link, event: LinkEvent) -> object:
        seen.add(_cell(self.state, event))
        return go(self, event)

    def spy_advance(self: Calls, id_: str, event: CallEvent) -> str:
        state = self.get(id_)
        if state is not None:
            seen.add(_cell(state, event))
        return advance(self, id_, event)

    def spy_judge(self: Verdicts, id_: str, event: VerdictEvent) -> str:
        seen.add(_cell(self.get(id_) or Verdict.NEW, event))
        return judge(self, id_, event)

    TurnMachine._turn, Link._go = spy_turn, spy_go  # type: ignore[method-assign,assignment]
    Calls.advance, Verdicts.advance = spy_advance, spy_judge  # type: ignore[method-assign]
    try:
        yield
    finally:
        TurnMachine._turn, Link._go = turn, go  # type: ignore[method-assign]
        Calls.advance, Verdicts.advance = advance, judge  # type: ignore[method-assign]


def _cell(state: Enum, event: Enum) -> Cell:
    return state.name, event.name
