"""YAML with line numbers, read with PyYAML where it is installed (`pip install 'agentkit[apps]'`).

Only what JSON can say is read; a date stays the text it is, and other tags are refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentkit.errors import AppDefinitionError, MissingExtraError

__all__ = ["Document", "dump_yaml", "read_yaml"]

TAG: Final = "tag:yaml.org,2002:"
DEPTH: Final = 50  # an alias may contain itself


@dataclass(frozen=True)
class Document:
    """A mapping, with the line that each value begins on, from 1."""

    path: str
    data: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]

    def where(self, path: tuple[str, ...]) -> str:
        """`inf.yml:12`, of the value or else of what it would be in."""
        known = (self.lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in self.lines)
        line = next(known, None)
        return f"{self.path}:{line}" if line else self.path


def read_yaml(text: str, *, path: str, is_text: Callable[[tuple[str, ...]], bool]) -> Document:
    """The mapping in the text. Values that `is_text` picks by their path stay as written (`3.10`, `yes`).

    Raises AppDefinitionError with file and line, MissingExtraError without PyYAML.
    """
    yaml = _yaml()
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            reader = _Reader(yaml, loader, path, is_text)
            data = reader.value(node, ()) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise AppDefinitionError(f"{path}{line}: this is no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise AppDefinitionError(f"{path}: this is no YAML: {error}") from None
    if not isinstance(data, dict):
        raise AppDefinitionError(f"{path}: there are no `key: value` lines in it; begin with `name: my-app`")
    return Document(path, data, reader.lines)  # pyright: ignore[reportUnknownArgumentType]  _Reader makes text keys


def dump_yaml(data: Mapping[str, Any]) -> str:
    """The mapping as YAML, in its order. Raises MissingExtraError without PyYAML."""
    text: str = _yaml().safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=120)
    return text


class _Reader:
    """Turns the nodes of one document into values."""

    def __init__(self, yaml: Any, loader: Any, path: str, is_text: Callable[[tuple[str, ...]], bool]) -> None:
        self.lines: dict[tuple[str, ...], int] = {}
        self._yaml = yaml
        self._loader = loader
        self._path = path
        self._is_text = is_text

    def value(self, node: Any, path: tuple[str, ...]) -> Any:
        self.lines[path] = node.start_mark.line + 1
        if len(path) > DEPTH:
            raise self._wrong(node, path, "it is nested too deeply, or contains itself")
        if isinstance(node, self._yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, self._yaml.SequenceNode):
            return [self.value(item, (*path, str(index))) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: Any, path: tuple[str, ...]) -> dict[str, Any]:
        self._check_twins(node, path)
        self._loader.flatten_mapping(node)
        values: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, self._yaml.ScalarNode):
                raise self._wrong(key, path, "a key is text")
            name = str(key.value)
            values[name] = self.value(item, (*path, name))
        return values

    def _check_twins(self, node: Any, path: tuple[str, ...]) -> None:
        """Before merge keys are followed: what they bring in may be there again."""
        seen = set[Any]()
        for key, _ in node.value:
            if isinstance(key, self._yaml.ScalarNode) and key.value in seen:
                raise self._wrong(key, (*path, key.value), "it is there twice; keep one")
            seen.add(key.value if isinstance(key, self._yaml.ScalarNode) else None)

    def _scalar(self, node: Any, path: tuple[str, ...]) -> Any:
        match node.tag.removeprefix(TAG):
            case "null":
                return "" if self._is_text(path) and len(path) > 1 else None
            case _ if self._is_text(path):
                return node.value
            case "bool" | "int" | "float":
                return self._loader.construct_object(node)
            case "str" | "timestamp" | "value":
                return node.value
            case tag:
                raise self._wrong(node, path, f"the tag {tag!r} means nothing here; write plain values")

    def _wrong(self, node: Any, path: tuple[str, ...], what: str) -> AppDefinitionError:
        return AppDefinitionError(f"{self._path}:{node.start_mark.line + 1}: {'.'.join(path)}: {what}")


def _yaml() -> Any:
    try:
        return importlib.import_module("yaml")
    except ModuleNotFoundError:
        raise MissingExtraError("reading inf.yml", extra="apps") from None
