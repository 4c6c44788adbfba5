"""The tables of the machines: as literals, and as text in their modules' docstrings."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import ModuleType
from typing import Any

Text = dict[str, dict[str, str]]


def told(module: ModuleType) -> Text:
    """The table of the docstring: event -> state -> cell."""
    lines = [line for line in (module.__doc__ or "").splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def literal(table: Mapping[Any, Mapping[Any, tuple[Any, str]]], *, events: type[Enum], last: str = "DONE") -> Text:
    """The literal in the same form; the terminal state has no column."""
    states = [state for state in table if state.name != last]
    return {event.name: {state.name: _cell(state, table[state].get(event)) for state in states} for event in events}


def _cell(state: Enum, cell: tuple[Enum, str] | None) -> str:
    if cell is None:
        return "-"
    to, act = cell
    name = "." if to is state else to.name
    return f"{name} / {act}" if act else name
