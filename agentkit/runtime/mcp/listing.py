"""The tools of a server as it listed them, and the same as tools of an agent."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import to_json

from agentkit.errors import SchemaError
from agentkit.tools.schema import check_schema

__all__ = ["Listing", "McpToolInfo", "free_name", "usable_schema"]

logger = logging.getLogger("agentkit.mcp")

ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}
LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class McpToolInfo:
    """One tool as the server describes it. `annotations` are its hints, in the names of the wire."""

    name: str
    title: str = ""
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=lambda: dict(ANY_OBJECT))
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server offers; `digest` is the same for the same tools, after a restart too."""

    tools: Sequence[McpToolInfo]
    digest: str

    @classmethod
    def of(cls, tools: Sequence[McpToolInfo]) -> Listing:
        """The listing of these tools."""
        ordered = sorted(tools, key=lambda each: each.name)
        return cls(tuple(tools), hashlib.sha256(to_json(ordered)).hexdigest()[:16])

    def get(self, name: str) -> McpToolInfo | None:
        """The tool of that name."""
        return next((each for each in self.tools if each.name == name), None)

    @property
    def names(self) -> str:
        """What there is, in words."""
        return ", ".join(each.name for each in self.tools) or "no tools"


def usable_schema(schema: Mapping[str, Any], *, what: str) -> dict[str, Any]:
    """The input schema, if arguments can be checked against it; any object where it is none, with a warning."""
    try:
        check_schema(schema, what="its schema")
        if schema.get("type", "object") != "object":
            raise SchemaError(f"arguments are an object, not {schema['type']!r}")
    except (SchemaError, RecursionError, TypeError, ValueError, AttributeError) as error:
        logger.warning("%s: any arguments are let through: %s", what, _line(error))
        return dict(ANY_OBJECT)
    return {**ANY_OBJECT, **schema}


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """A tool name that models take (`[A-Za-z_][A-Za-z0-9_-]{0,63}`) and that is not taken."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", wanted).strip("-") or "tool"
    if not re.match(r"[A-Za-z_]", cleaned):
        cleaned = f"_{cleaned}"
    used, name, number = set(taken), cleaned[:LONGEST_NAME], 1
    while name in used:
        number += 1
        suffix = f"_{number}"
        name = f"{cleaned[: LONGEST_NAME - len(suffix)]}{suffix}"
    return name


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
