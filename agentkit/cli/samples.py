"""Samples of an app's input, kept in its folder: `*.input.json`, and `examples/*.json`.

    {"text": "hello"}                                                  an input, or
    {"input": {"most": 2}, "files": {"document": "sample.txt"},        a case: files lie beside the sample;
     "function": "run", "setup": {}, "expected": {"words": 8}}         what is expected must be in the output

`expected_error` is part of the error of a task that is meant to fail.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from agentkit.cli.inputs import Asked, FileValue
from agentkit.errors import AppDefinitionError

__all__ = ["MISSING", "Sample", "differences", "samples_in"]

MEMBERS: Final = frozenset({"input", "files", "function", "setup", "expected", "expected_error", "description"})


class _Missing:
    """Nothing is expected, which is not the same as null."""


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. `name` is its file's, without the ending."""

    name: str
    path: Path
    asked: Asked
    function: str | None = None
    setup: Any = None
    expected: Any = MISSING
    expected_error: str | None = None

    @property
    def params(self) -> dict[str, Any]:
        """What a task of it needs beside app and input."""
        told = {"function": self.function, "setup": self.setup}
        return {name: value for name, value in told.items() if value is not None}


def samples_in(folder: Path) -> list[Sample]:
    """All samples of an app folder. Raises AppDefinitionError naming a file that is none."""
    found = [*sorted(folder.glob("*.input.json")), *sorted((folder / "examples").glob("*.json"))]
    return [_read(path) for path in found]


def differences(expected: Any, output: Any, path: str = "output") -> Iterator[str]:
    """Where the output is not what was expected; members that nobody expects may be there."""
    match expected, output:
        case Mapping(), Mapping():
            wanted, there = cast("Mapping[str, Any]", expected), cast("Mapping[str, Any]", output)
            for name, value in wanted.items():
                if name in there:
                    yield from differences(value, there[name], f"{path}.{name}")
                else:
                    yield f"{path}.{name} is missing"
        case list(), list():
            items, given = cast("Sequence[Any]", expected), cast("Sequence[Any]", output)
            if len(items) != len(given):
                yield f"{path} has {len(given)} items, not {len(items)}"
                return
            for place, (each, other) in enumerate(zip(items, given, strict=True)):
                yield from differences(each, other, f"{path}.{place}")
        case _:
            if not _is_same(expected, output):
                yield f"{path} is {_short(output)}, not {_short(expected)}"


def _read(path: Path) -> Sample:
    name = path.name.removesuffix(".json").removesuffix(".input")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AppDefinitionError(f"the sample {str(path)!r} cannot be read: {error}") from None
    if not (isinstance(told, dict) and "input" in told and cast("dict[str, Any]", told).keys() <= MEMBERS):
        return Sample(name, path, Asked(told))
    case = cast("dict[str, Any]", told)
    files: Any = case.get("files") or {}
    if not isinstance(files, dict):
        raise AppDefinitionError(f"the sample {str(path)!r}: files is an object such as {{'document': 'sample.txt'}}")
    named = [FileValue(key, path.parent / str(file)) for key, file in cast("dict[str, Any]", files).items()]
    for each in named:
        if not each.path.is_file():
            raise AppDefinitionError(f"the sample {str(path)!r}: there is no file {str(each.path)!r} for {each.key!r}")
    return Sample(
        name,
        path,
        Asked(case["input"], named),
        function=case.get("function"),
        setup=case.get("setup"),
        expected=case.get("expected", MISSING),
        expected_error=case.get("expected_error"),
    )


def _is_same(expected: Any, output: Any) -> bool:
    if isinstance(expected, bool) or isinstance(output, bool):
        return expected is output
    if isinstance(expected, int | float) and isinstance(output, int | float):
        return math.isclose(expected, output, rel_tol=1e-9, abs_tol=1e-12)
    return type(expected) is type(output) and expected == output


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"
