"""Who says yes to a booking that needs one: a person at the terminal, `--yes`, or nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from agentkit import Interrupt


@dataclass(frozen=True)
class Answer:
    """Yes, or no with the reason that the agent reads."""

    approved: bool
    reason: str = ""


NOBODY = "nobody is here to approve it; start over with --fresh --yes, or with --fresh in a terminal"
Approver = Callable[[Interrupt], Answer]


def approver(*, yes: bool, tell: TextIO) -> Approver:
    """Who answers: `--yes`, else the person at the keyboard, else nobody."""
    if yes:
        return lambda interrupt: Answer(approved=True)
    if sys.stdin.isatty():
        return lambda interrupt: _ask(interrupt, tell)
    return lambda interrupt: Answer(approved=False, reason=NOBODY)


def _ask(interrupt: Interrupt, tell: TextIO) -> Answer:
    tell.write(f"        {question(interrupt)} [y/N] ")
    tell.flush()
    line = sys.stdin.readline()
    if not line:
        return Answer(approved=False, reason="the input ended without an answer")
    return Answer(approved=line.strip().lower() in ("y", "yes"), reason="the person at the desk said no")


def question(interrupt: Interrupt) -> str:
    """What is asked, with the arguments that a yes is for.

    >>> meta = {"arguments": {"amount": 464.5, "currency": "EUR", "vendor": "Hotel", "date": "2025-09-18"}}
    >>> question(Interrupt(meta=meta))
    'Book 464.50 EUR for Hotel, 2025-09-18?'
    """
    assert isinstance(interrupt.meta, dict)  # of a tool approval it is one
    args = interrupt.meta["arguments"]
    return f"Book {args['amount']:.2f} {args['currency']} for {args['vendor']}, {args['date']}?"
