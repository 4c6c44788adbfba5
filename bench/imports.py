"""How long imports take, as `python -X importtime` tells it, without what every Python loads."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from typing import Final

__all__ = ["milliseconds"]

_LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


def milliseconds(statement: str) -> float:
    """The time of all modules that the statement loads, in a fresh process."""
    return sum(took for name, took in _modules(statement).items() if name not in _always()) / 1000


@cache
def _always() -> frozenset[str]:
    """What every Python loads."""
    return frozenset(_modules("pass"))


def _modules(statement: str) -> dict[str, int]:
    """Module to microseconds of its own."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True
    )
    return {name: int(took) for took, name in _LINE.findall(done.stderr)}
