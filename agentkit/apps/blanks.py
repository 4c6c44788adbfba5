"""Forms send "" or {} for a file that nobody chose: where a field may be None, that is what it means."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agentkit.apps.file import File

__all__ = ["Filler", "filled", "fillers_of", "names_of"]

Filler: TypeAlias = Callable[[Any], Any]
"""A copy of a value with its blank files replaced by None."""


def fillers_of(model: type[BaseModel]) -> dict[str, Filler]:
    """What replaces blank files, by every name of the fields that may hold some."""
    return {
        name: filler
        for field, info in model.model_fields.items()
        if (filler := _filler_of(cast("Any", info.annotation)))
        for name in names_of(field, info)
    }


def filled(data: Any, *, fillers: Mapping[str, Filler]) -> Any:
    """A copy of an object with its blank files replaced by None."""
    if not isinstance(data, Mapping):
        return data
    given = cast("Mapping[str, Any]", data)
    return {name: fillers[name](value) if name in fillers else value for name, value in given.items()}


def names_of(field: str, info: FieldInfo) -> list[str]:
    """What a field may be called in JSON."""
    aliases = (info.alias, info.validation_alias, info.serialization_alias)
    return [field, *(alias for alias in aliases if isinstance(alias, str))]


def _filler_of(kind: Any) -> Filler | None:
    """What replaces the blank files in values of the type; None where the type has no file that may be None."""
    arguments = get_args(kind)
    origin = get_origin(kind)
    if origin is Annotated:
        return _filler_of(arguments[0])
    if origin is Union or origin is types.UnionType:
        return _of_union(arguments)
    if not isinstance(origin, type) or not arguments:
        return None
    if issubclass(origin, Mapping):
        return _of_values(_filler_of(arguments[-1]))
    if issubclass(origin, Sequence | set | frozenset):
        return _of_items(_filler_of(arguments[0]))
    return None


def _of_union(choices: tuple[Any, ...]) -> Filler | None:
    if type(None) in choices and any(_is_file(choice) for choice in choices):
        return _blank_to_none
    return next((found for choice in choices if (found := _filler_of(choice))), None)


def _is_file(kind: Any) -> bool:
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return isinstance(kind, type) and issubclass(kind, File)


def _blank_to_none(value: Any) -> Any:
    return None if value in ("", {}) else value


def _of_items(inner: Filler | None) -> Filler | None:
    if inner is None:
        return None

    def fill(value: Any) -> Any:
        return [inner(item) for item in cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else value

    return fill


def _of_values(inner: Filler | None) -> Filler | None:
    if inner is None:
        return None

    def fill(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: inner(item) for name, item in cast("Any", value).items()}

    return fill
