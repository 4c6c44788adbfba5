"""Names that say who is at work, so that what a killed process left half-way is told from what is being made.

7jnx8hn0....4711-a1b2c3d4-1     the first thing that process 4711, which called itself a1b2c3d4, makes for 7jnx8hn0...
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

__all__ = ["in_the_making", "leftovers"]

_WHO: Final = os.urandom(4).hex()  # a restarted container gives the same process id again
_NUMBERS: Final = count(1)
_TAG: Final = re.compile(r"\.(?P<pid>[0-9]+)-(?P<who>[0-9a-f]{8})-[0-9]+")


def in_the_making(target: Path) -> Path:
    """A name beside the target for what will take its place, never used before."""
    return target.with_name(f"{target.name}.{os.getpid()}-{_WHO}-{next(_NUMBERS)}")


def leftovers(target: Path) -> Iterator[Path]:
    """What was being made for the target by processes that are gone. Blocks."""
    for path in target.parent.glob(f"{target.name}.*"):
        match = _TAG.fullmatch(path.name.removeprefix(target.name))
        if match is not None and not _is_at_work(int(match["pid"]), match["who"]):
            yield path


def _is_at_work(pid: int, who: str) -> bool:
    if pid == os.getpid():
        return who == _WHO
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
