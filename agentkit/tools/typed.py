"""From Python types to JSON Schema and back: everything agentkit asks pydantic about a type."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import PydanticSerializationError, to_json

from agentkit.errors import ToolArgumentsError, UsageError
from agentkit.tools.jsonable import NotJson, jsonable

__all__ = ["adapter_of", "arguments_error", "converted", "default_of", "schema_of", "spelled"]


class _Plain(GenerateJsonSchema):
    """Without the titles that only repeat a field's name: models pay for every word they read."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 pydantic declares it so

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def adapter_of(kind: Any, *, what: str, error: type[UsageError]) -> TypeAdapter[Any]:
    """What reads and describes values of that type. Raises `error` for types that JSON has no schema for."""
    try:
        adapter = TypeAdapter[Any](kind)
        adapter.json_schema(schema_generator=_Plain)
    except (PydanticUserError, NameError) as cause:
        reason = re.split(r"\.\s|\n", str(cause))[0].rstrip(".")
        raise error(
            f"{what}: {spelled(kind)} has no JSON Schema ({reason}); "
            "use a pydantic model, dataclass, Literal, list, dict or scalar type, or write the JSON Schema"
        ) from None
    return adapter


def schema_of(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """The JSON Schema of what may be sent for the type; a model's own title is left out at the root."""
    schema = adapter.json_schema(schema_generator=_Plain)
    schema.pop("title", None)
    return schema


_ABSENT: Final[dict[str, Any]] = {}


def default_of(adapter: TypeAdapter[Any], default: Any) -> dict[str, Any]:
    """`{"default": ...}` where the default has a form in JSON that reads back, else nothing to say."""
    if default is None:
        return _ABSENT  # that a parameter may be left out is said by `required`
    try:
        written = jsonable(adapter.dump_python(default, mode="json", warnings=False))
        adapter.validate_json(to_json(written))
    except (PydanticSerializationError, ValidationError, UnicodeDecodeError, NotJson):
        return _ABSENT
    return {"default": written}


def converted(adapter: TypeAdapter[Any], value: Any, *, path: str, what: str) -> Any:
    """The JSON value as the type wants it. Raises ToolArgumentsError with path and message of each miss."""
    try:
        return adapter.validate_json(to_json(value))  # as JSON: strict models take text for a date only there
    except ValidationError as misses:
        errors = [
            {"path": ".".join(filter(None, (path, *map(str, miss["loc"])))), "message": miss["msg"]}
            for miss in misses.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise arguments_error(what, errors) from None


def arguments_error(what: str, errors: list[dict[str, str]]) -> ToolArgumentsError:
    """The exception that lists each miss, in words a model can act on."""
    misses = "; ".join(f"{miss['path']}: {miss['message']}" if miss["path"] else miss["message"] for miss in errors)
    error = ToolArgumentsError(f"{what}: {misses}")
    error.errors = errors
    return error


def spelled(kind: Any) -> str:
    """The type as one writes it."""
    return kind.__qualname__ if isinstance(kind, type) else str(kind)
