"""A handler's return value as the text that travels (protocol.md 6.5)."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from agentkit.errors import ToolResultError
from agentkit.tools.jsonable import NotJson, jsonable

__all__ = ["result_text"]


def result_text(value: Any) -> str:
    """Text as it is, everything else as JSON; None as `null`, since an empty text is an answer too.

    Raises ToolResultError, naming type and place, for what JSON cannot carry: bytes, NaN, iterators, open files.

    >>> result_text("22 degrees"), result_text({"temp_c": 22}), result_text(None)
    ('22 degrees', '{"temp_c":22}', 'null')
    """
    try:
        plain = jsonable(value)
    except NotJson as problem:
        raise ToolResultError(
            f"the handler returned {problem}, which JSON cannot carry; "
            "return text, numbers, lists, dicts, dataclasses or pydantic models"
        ) from None
    return value if type(value) is str else to_json(plain).decode()
