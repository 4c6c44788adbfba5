"""The base classes of everything that travels, and the types of what is open in it.

Names: `Wire` writes only what was set (requests, parts), `Whole` everything (answers), `Resource` and `Owned` are whole
and have an identity. All keep what they do not know: unknown fields stay on the object and are written back, and a
field typed `Open[SomeEnum]` keeps a value the enum lacks as the plain text it came as. Objects answer both attributes
and the mapping reads that the SDK's documentation uses:

    >>> from agentkit.wire import FileRef
    >>> ref = FileRef.parse({"uri": "inf://files/f1/a.txt", "filename": "a.txt", "new": 1})
    >>> ref.filename, ref["filename"], ref.get("absent", "-"), ref["new"]
    ('a.txt', 'a.txt', '-', 1)
"""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from enum import Enum
from functools import cache
from typing import Annotated, Any, Self, TypeAlias, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, model_validator
from pydantic_core import PydanticUndefined, to_json

from agentkit.wire.workspace import Visibility

E = TypeVar("E", bound=Enum)

Open: TypeAlias = Annotated[E | str, Field(union_mode="left_to_right")]
"""`Open[Status]`: a member of the enum where we know it, the text itself where we do not."""

DecodedObject: TypeAlias = Annotated[dict[str, Any] | Json[dict[str, Any]] | str, Field(union_mode="left_to_right")]
"""An object that some senders encode as JSON text: decoded on parse, left as text where that is no JSON object."""

JsonText: TypeAlias = Annotated[str, BeforeValidator(lambda value: _as_text(value))]
"""Text; any other JSON value is taken as its JSON."""


class WireBase(BaseModel):
    """What every wire model does: keeps unknown fields, reads null as absent, answers `[]`, `in` and `get`.

    A null where the field has a default of its own counts as absent (protocol.md 0.1): `{"content": null}` is a message
    with the content `[]`. Fields that may be null keep the null.
    """

    model_config = ConfigDict(
        defer_build=True, extra="allow", populate_by_name=True, protected_namespaces=(), use_enum_values=False
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = cast("dict[str, Any]", data)
        never_null = _never_null(cls)
        nulls = [name for name, value in data.items() if value is None and name in never_null]
        return {name: value for name, value in data.items() if name not in nulls} if nulls else data

    @classmethod
    def parse(cls, data: Any) -> Self:
        """The model of a decoded JSON value (or of a model). Raises pydantic's `ValidationError`."""
        return cls.model_validate(data)

    def to_wire(self) -> dict[str, Any]:
        """The JSON object, as it travels: only what was set; see `Whole` for all of it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_json(self) -> bytes:
        """`to_wire()` as UTF-8 JSON."""
        return to_json(self.to_wire())

    def __getitem__(self, name: str) -> Any:
        field = _field_of(type(self), name)
        if field is not None:
            return getattr(self, field)
        extra = self.model_extra or {}
        if name in extra:
            return extra[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (_field_of(type(self), name) is not None or name in (self.model_extra or {}))

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, or `default` where it is absent or null."""
        try:
            value = self[name]
        except KeyError:
            return default
        return default if value is None else value


class Wire(WireBase):
    """A JSON object of the protocol: attributes, mapping reads, and every unknown field kept."""

    def keys(self) -> KeysView[str]:
        """The names that can be read with `[]`, unknown ones last."""
        return self._mapping().keys()

    def values(self) -> ValuesView[Any]:
        """The values, in the order of `keys()`."""
        return self._mapping().values()

    def items(self) -> ItemsView[str, Any]:
        """Names and values, in the order of `keys()`."""
        return self._mapping().items()

    def _mapping(self) -> Mapping[str, Any]:
        known = {info.alias or field: getattr(self, field) for field, info in type(self).model_fields.items()}
        return {**known, **(self.model_extra or {})}


def _as_text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else to_json(value).decode()


@cache
def _never_null(model: type[BaseModel]) -> frozenset[str]:
    """The names, aliases included, of the fields whose default is something else than null."""
    fields = model.model_fields.items()
    defaulted = [(field, info) for field, info in fields if info.default_factory or _has_value(info.default)]
    return frozenset(name for field, info in defaulted for name in (field, info.alias) if name)


def _has_value(default: Any) -> bool:
    return default is not None and default is not PydanticUndefined


def _field_of(model: type[BaseModel], name: str) -> str | None:
    """The attribute behind a wire name: the field itself, or the one that carries the name as its alias."""
    fields = model.model_fields
    if name in fields:
        return name
    return next((field for field, info in fields.items() if info.alias == name), None)


class Whole(Wire):
    """What a server answers: always written whole, nulls included, also in the objects inside it."""

    def to_wire(self) -> dict[str, Any]:
        """The JSON object with every known field, null where unset, and every unknown one."""
        return self.model_dump(mode="json", by_alias=True)


class Resource(Whole):
    """A record with an identity (`BaseModelDTO`, protocol.md 0.2).

    Timestamps are RFC 3339 text in UTC, as they came.
    """

    id: str = ""
    short_id: str = ""
    created_at: str = ""
    updated_at: str = ""
    deleted_at: str | None = None


class Owned(Resource):
    """A resource with an owner (`PermissionModelDTO`, protocol.md 0.2)."""

    user_id: str = ""
    user: dict[str, Any] | None = None
    team_id: str = ""
    team: dict[str, Any] | None = None
    visibility: Open[Visibility] = Visibility.PRIVATE
