"""Where a process may die while a question is answered, and what comes of it: `python -m tests.trust.crash_table`.

Prints a Markdown table of all deaths. `--points` writes the list of the points to `points.txt` instead.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Final

from tests.trust.crash import OPERATIONS, Outcome, killed

__all__ = ["POINTS", "listed"]

POINTS: Final = Path(__file__).with_name("points.txt")
HEAD: Final = (
    "| operation | deaths | the record after the restart | done again | payments in the end |\n|---|---|---|---|---|"
)


def listed(points: list[Outcome]) -> list[str]:
    """The points of an operation as lines: each name, and what a restart makes of a death there."""
    return [f"{each.point:<36} {each.found}" for each in points]


def rows(name: str, outcomes: list[Outcome]) -> list[str]:
    """The deaths of one operation, those together that came to the same."""
    counts = Counter((each.found, each.again, each.payments) for each in outcomes)
    return [
        f"| {name} | {count} | {found} | {again} | {payments} |" for (found, again, payments), count in counts.items()
    ]


def main() -> None:
    """Dies at every point, or lists them."""
    if "--points" in sys.argv:
        POINTS.write_text("".join(f"{line}\n" for name in OPERATIONS for line in listed(killed(name, "none")[0])))
        return
    print(HEAD)
    for name in OPERATIONS:
        for row in rows(name, killed(name, "all")[1]):
            print(row, flush=True)


if __name__ == "__main__":
    main()
