"""Writes the JSON Schema of every public wire model, and openapi.json: `python -m agentkit.schemas [DIRECTORY]`.

The files lie in `schemas/` of the repository, and a test compares them with the models.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agentkit.wire
from agentkit.protocol.openapi import FILE, openapi
from agentkit.wire import WireBase

__all__ = ["documents", "models", "write"]

_BASES = frozenset({"Owned", "Resource", "Whole", "Wire", "WireBase"})


def models() -> Iterator[type[WireBase]]:
    """Every public wire model, by name; the base classes are none."""
    for name in agentkit.wire.__all__:
        value = getattr(agentkit.wire, name)
        if inspect.isclass(value) and issubclass(value, WireBase) and name not in _BASES:
            yield value


def documents() -> dict[str, str]:
    """The text of each file, by its name: sorted keys, a newline at the end."""
    schemas = {f"{model.__name__}.json": _text(model.model_json_schema(by_alias=True)) for model in models()}
    return {**schemas, FILE: _text(openapi())}


def write(directory: Path) -> None:
    """Writes every file; others in the directory stay."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (directory / name).write_text(text, encoding="utf-8")


def _text(document: Any) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas"))
