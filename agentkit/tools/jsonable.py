"""What JSON can carry: a walk that turns a Python value into plain JSON values or says where it cannot."""

from __future__ import annotations

import dataclasses
import datetime
import math
import pathlib
import uuid
from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeGuard

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

__all__ = ["NotJson", "is_array", "is_mapping", "is_object", "jsonable"]

_TEXTUAL: Final = (
    datetime.date,  # and datetime
    datetime.time,
    datetime.timedelta,
    Decimal,  # as text: a JSON number would lose digits
    uuid.UUID,
)


class NotJson(Exception):
    """`path` (`items.0.price`, "" for the whole) holds something that JSON has no word for; `what` says what."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{what} at {path}" if path else what)
        self.path = path
        self.what = what


def jsonable(value: Any) -> Any:
    """A deep copy of the value made of dict, list, str, int, float, bool and None. Raises NotJson.

    Models, dataclasses, enums, dates, decimals (as text), UUIDs, paths, tuples and sets have a form in JSON; bytes,
    NaN and infinity, iterators, and values that contain themselves have none.
    """
    return _copy(value, path=(), above=())


def _copy(value: Any, *, path: tuple[str, ...], above: tuple[int, ...]) -> Any:
    match value:
        case Enum():  # before str and int: a str enum is both
            return _copy(value.value, path=path, above=above)
        case None | bool() | int():
            return value
        case str():
            return _text(value, path)
        case float():
            return _finite(value, path)
        case pathlib.PurePath():
            return _text(str(value), path)
        case _ if isinstance(value, _TEXTUAL):
            return to_jsonable_python(value)
        case _:
            return _copy_inside(value, path=path, above=above)


def _copy_inside(value: Any, *, path: tuple[str, ...], above: tuple[int, ...]) -> Any:
    if id(value) in above:
        raise NotJson(".".join(path), f"a {_kind(value)} that contains itself")
    above = (*above, id(value))
    match value:
        case BaseModel():
            return _copy(_dumped(value, path), path=path, above=above)
        case _ if is_mapping(value):
            named = [(_name(key, path), item) for key, item in value.items()]
            return {name: _copy(item, path=(*path, name), above=above) for name, item in named}
        case _ if _is_sequence(value):
            return [_copy(item, path=(*path, str(index)), above=above) for index, item in enumerate(value)]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return _copy(fields, path=path, above=above)
        case _:
            raise NotJson(".".join(path), f"a {_kind(value)}")


def _dumped(model: BaseModel, path: tuple[str, ...]) -> Any:
    try:
        return model.model_dump(mode="json", by_alias=True)
    except ValueError as error:
        raise NotJson(".".join(path), f"a {_kind(model)} ({error})") from None


def _name(key: Any, path: tuple[str, ...]) -> str:
    match key:
        case Enum():
            return _name(key.value, path)
        case str():
            return _text(key, path)
        case int() if not isinstance(key, bool):
            return str(key)
        case _:
            raise NotJson(".".join(path), f"an object key of type {_kind(key)}")


def _text(text: str, path: tuple[str, ...]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotJson(".".join(path), "text with half a surrogate pair, which UTF-8 cannot encode") from None
    return str(text)


def _finite(number: float, path: tuple[str, ...]) -> float:
    if not math.isfinite(number):
        raise NotJson(".".join(path), f"the number {number}")
    return number


def _kind(value: Any) -> str:
    return type(value).__qualname__


# Type checkers take what `isinstance` finds in untyped data for a dict of unknowns; these say what JSON has in it.


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is a mapping of any kind."""
    return isinstance(value, Mapping)


def _is_sequence(value: Any) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, list | tuple | Set)
