"""Which cells of the tables a run of the machines visits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from agentkit.protocol.calls import CALL, CallEvent, Calls
from agentkit.protocol.link import LINK, Link, LinkEvent
from agentkit.protocol.turn import TURN, Symbol, TurnMachine

Cell = tuple[str, str]


def cells() -> set[Cell]:
    """Every cell of the three tables."""
    return {(state.name, event.name) for table in (TURN, LINK, CALL) for state, row in table.items() for event in row}


@contextmanager
def watching(seen: set[Cell]) -> Iterator[None]:
    """Notes every cell that is entered."""
    turn, go, advance = TurnMachine._turn, Link._go, Calls.advance

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

    TurnMachine._turn, Link._go, Calls.advance = spy_turn, spy_go, spy_advance  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        TurnMachine._turn, Link._go, Calls.advance = turn, go, advance  # type: ignore[method-assign]


def _cell(state: Enum, event: Enum) -> Cell:
    return state.name, event.name
