"""The Python blocks of the SDK's document, as data and as running programs.

`seed_blocks/` holds them word for word, one file per block, named after the heading it stands under.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["BLOCKS", "SEED", "blocks_of", "play", "play_async", "program"]

BLOCKS = Path(__file__).parent / "seed_blocks"
SEED = Path(__file__).resolve().parents[3] / "shared" / "seeds" / "003-python-sdk-0.7.8.txt"
_HEADING = re.compile(r"^#+ (.+)$")


def blocks_of(document: str) -> Iterator[tuple[str, str]]:
    """The Python blocks of a Markdown document: name and code. A heading's second block is `its_name_2`."""
    heading, seen, lines = "", dict[str, int](), iter(document.splitlines())
    for line in lines:
        if line == "```python":
            code = "".join(f"{each}\n" for each in iter(lambda: next(lines), "```"))
            seen[heading] = seen.get(heading, 0) + 1
            yield _name(heading, seen[heading]), code
        elif line.startswith("```"):
            for each in lines:
                if each == "```":
                    break
        elif match := _HEADING.match(line):
            heading = match[1]


def program(name: str, places: Mapping[str, str] | None = None) -> str:
    """A block's code with the import changed, and with real paths for the document's placeholders."""
    code = (BLOCKS / f"{name}.txt").read_text(encoding="utf-8")
    code = re.sub(r"^( *from )inferencesh\b", r"\1agentkit", code, flags=re.MULTILINE)
    for placeholder, place in (places or {}).items():
        code = code.replace(placeholder, place)
    return code


def play(name: str, names: dict[str, Any], *, places: Mapping[str, str] | None = None) -> None:
    """Runs a block among these names, as if it were typed after the blocks that made them."""
    exec(compile(program(name, places), f"seed_blocks/{name}.txt", "exec"), names)


async def play_async(name: str, names: dict[str, Any]) -> None:
    """Runs a block that awaits at its top level, as a notebook does."""
    code = compile(program(name), f"seed_blocks/{name}.txt", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result


def _name(heading: str, number: int) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")
    return slug if number == 1 else f"{slug}_{number}"
