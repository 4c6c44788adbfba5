"""What came of it all: a table for people, a file and JSON for programs."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from examples.expense_desk.ledger import Outcome

COLUMNS = ("document", "date", "vendor", "total", "category", "outcome", "cost centre")
WIDEST = 30


def table(outcomes: Sequence[Outcome]) -> str:
    """A row per document, why some were not booked, and the sums."""
    rows = [COLUMNS, *(_row(each) for each in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(_cell(text, column, widths) for column, text in enumerate(row)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"{each.document}: {each.outcome}: {each.detail}" for each in outcomes if each.detail]
    return "\n".join([*lines, "", *notes, summary(outcomes)])


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line: how many came to what, and the sums booked."""
    counts = Counter(each.outcome for each in outcomes)
    words = [f"{count} {word}" for word, count in counts.most_common()]
    sums = [f"{amount} {currency}" for currency, amount in booked_sums(outcomes).items()]
    return f"{len(outcomes)} documents: {', '.join(words)}. Booked: {', '.join(sums) or 'nothing'}."


def booked_sums(outcomes: Iterable[Outcome]) -> dict[str, Decimal]:
    """What is booked in each currency."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for outcome in outcomes:
        if outcome.booked:
            amount, currency = outcome.booked.split()
            sums[currency] += Decimal(amount)
    return dict(sums)


def as_data(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The whole result as JSON carries it."""
    sums = {currency: str(amount) for currency, amount in booked_sums(outcomes).items()}
    return {"documents": [each.model_dump(mode="json") for each in outcomes], "booked": sums}


def write_lines(outcomes: Iterable[Outcome], path: Path) -> None:
    """One JSON object per document; the file is there whole or not at all."""
    draft = path.with_suffix(".tmp")
    lines = [json.dumps(each.model_dump(mode="json"), ensure_ascii=False) + "\n" for each in outcomes]
    draft.write_text("".join(lines), encoding="utf-8")
    os.replace(draft, path)


def _row(outcome: Outcome) -> tuple[str, ...]:
    expense = outcome.expense
    if expense is None or not expense.is_expense:
        return (_cut(outcome.document), "", "", "", "", _said(outcome), "")
    total = f"{expense.total:.2f} {expense.currency or '?'}" if expense.total is not None else "?"
    return (
        _cut(outcome.document),
        str(expense.date or "?"),
        _cut(expense.vendor or "?"),
        total,
        expense.category,
        _said(outcome),
        outcome.cost_centre or ("unassigned" if outcome.booking else ""),
    )


def _said(outcome: Outcome) -> str:
    """The outcome; with the amount where the books have another one than the agent handed in."""
    if outcome.booking is None:
        return outcome.outcome
    read = outcome.expense
    differs = read is None or read.total is None or outcome.booked != f"{read.total:.2f} {read.currency}"
    return f"booked as {outcome.booking}" + (f": {outcome.booked} (!)" if differs else "")


def _cell(text: str, column: int, widths: Sequence[int]) -> str:
    return text.rjust(widths[column]) if COLUMNS[column] == "total" else text.ljust(widths[column])


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
