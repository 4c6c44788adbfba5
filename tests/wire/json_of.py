"""JSON as a server of any age might send it, drawn from the wire models themselves.

Known fields come with values of their type or null, or not at all; enums also with values that they lack; objects with
unknown fields, some of them named like a method or an attribute of ours.
"""

from __future__ import annotations

import types
from enum import Enum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.types import Json

from agentkit.wire import AgentTool, TaskStatus

DEPTH = 3

_TEXT = st.text(max_size=12)
_AWKWARD = st.sampled_from(
    ["items", "keys", "values", "get", "parse", "schema", "copy", "to_wire", "model_fields", "code"]
)
_UNKNOWN_NAMES = _TEXT.map("x_".__add__) | _AWKWARD
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40)
_SCALARS = st.none() | st.booleans() | _NUMBERS | _TEXT
ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=6
)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXT,
    int: st.integers(-(2**40), 2**40),
    float: _NUMBERS,
    bool: st.booleans(),
    type(None): st.none(),
    Any: ANYTHING,
    dict: st.dictionaries(_TEXT, ANYTHING, max_size=3),
    list: st.lists(ANYTHING, max_size=3),
}


def objects(model: type[BaseModel], *, depth: int = DEPTH) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that the model must be able to read."""
    known = {info.alias or name: _known(info.annotation, info.is_required(), depth) for name, info in _fields(model)}
    required = {info.alias or name for name, info in _fields(model) if info.is_required()}
    taken = set(known) | set(model.model_fields)
    unknown = _UNKNOWN_NAMES.filter(lambda name: name not in taken and not (model is AgentTool and name == "schema"))
    return st.builds(
        lambda first, rest: {**rest, **first},
        st.fixed_dictionaries(
            {name: known[name] for name in required},
            optional={name: known[name] for name in known if name not in required},
        ),
        st.dictionaries(unknown, ANYTHING, max_size=2),
    )


def _fields(model: type[BaseModel]) -> Any:
    return model.model_fields.items()


def _known(annotation: Any, required: bool, depth: int) -> st.SearchStrategy[Any]:
    values = _of(annotation, depth)
    return values if required else st.none() | values


def _of(annotation: Any, depth: int) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, TypeVar):
        return ANYTHING
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Annotated:
        return _of(arguments[0], depth) if not any(each is Json for each in arguments) else st.just('{"a": [1, null]}')
    if origin in (Union, types.UnionType):
        return st.one_of([_of(each, depth) for each in arguments])
    if origin is list:
        return st.lists(_of(arguments[0], depth), max_size=2 if depth > 0 else 0)
    if origin is dict:
        return st.dictionaries(_TEXT, _of(arguments[1], depth), max_size=2 if depth > 0 else 0)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return st.deferred(lambda: objects(annotation, depth=depth - 1)) if depth > 0 else st.just({})
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        members = [member.value for member in annotation]
        names = [member.name.lower() for member in annotation] if annotation is TaskStatus else []
        return st.sampled_from([*members, *names])
    raise TypeError(f"no strategy for {annotation!r}; add one")
