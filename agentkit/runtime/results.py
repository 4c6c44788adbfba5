"""A tool's result in the size that a model can take; the whole of a larger one is a file that it can page through."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pydantic_core import to_json

from agentkit.runtime.executors import Elsewhere, Execution, Produced, ToolDesk, ToolFailure

__all__ = ["OVERFLOW_SUFFIX", "cut", "sized"]

OVERFLOW_SUFFIX: Final = ".result.txt"
"""How the file of a result that was cut is called: `<invocation id>.result.txt`."""


async def sized(
    call: Execution, outcome: Produced | ToolFailure | Elsewhere, desk: ToolDesk, *, limit: int
) -> Produced | ToolFailure | Elsewhere:
    """The outcome with no more than `limit` characters of text; `data` that is larger is left to the text."""
    match outcome:
        case Produced() if len(outcome.text) > limit:
            name = f"{call.invocation_id}{OVERFLOW_SUFFIX}"
            try:
                file = await desk.keep(call.owner, outcome.text.encode(), filename=name, content_type="text/plain")
            except ToolFailure as failure:
                return ToolFailure(f"the result is too large: {failure.text}")
            return Produced(cut(outcome.text, limit, invocation_id=call.invocation_id), None, [*outcome.files, file])
        case Produced() if outcome.data is not None and len(to_json(outcome.data, fallback=str)) > 4 * limit:
            return replace(outcome, data=None)
        case ToolFailure() if len(outcome.text) > limit:
            return ToolFailure(f"{outcome.text[:limit]} ...", data=None)
        case _:
            return outcome


def cut(text: str, limit: int, *, invocation_id: str) -> str:
    """The beginning of a text whose whole is a file of the invocation, and how to read on."""
    return (
        f"{text[:limit]}\n\n[characters 0 to {limit} of {len(text)}; read on with "
        f'read_result(id="{invocation_id}", offset={limit})]'
    )
