"""A handler's return value: the text that travels, and the files beside it (protocol.md 6.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json

from agentkit.errors import ToolResultError
from agentkit.tools.jsonable import NotJson, jsonable

__all__ = ["MOST_FILES", "ToolOutput", "result_text"]

MOST_FILES: Final = 20
"""Of one result (protocol.md 6.5)."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A result with files: return it from a handler, or give it to `agent.submit_tool_result`.

    `text` is what the model reads, anything but text as JSON. `files` are paths (`pathlib.Path`), bytes, open files,
    data URIs, `Upload`s, or references to uploaded files; they are uploaded, and images are shown to the model. Raises
    ToolResultError for more than 20 files.

    >>> ToolOutput("a chart of the week", files=[b"..."]).text
    'a chart of the week'
    """

    text: Any = ""
    files: Sequence[Any] = ()

    def __post_init__(self) -> None:
        if isinstance(self.files, str | bytes):
            raise ToolResultError("ToolOutput(files=...) takes a list; write files=[data]")
        if len(self.files) > MOST_FILES:
            raise ToolResultError(
                f"{len(self.files)} files are too many for one result: {MOST_FILES} at most; put them into an archive"
            )


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
            "return text, numbers, lists, dicts, dataclasses or pydantic models, and files in ToolOutput(files=[...])"
        ) from None
    return value if type(value) is str else to_json(plain).decode()
