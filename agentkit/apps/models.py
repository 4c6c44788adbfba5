"""What an author inherits from: `BaseApp`, and the models of what goes in and out (protocol.md 5.3).

>>> from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput
>>> class Words(BaseAppInput):
...     text: str
>>> class Count(BaseAppOutput):
...     words: int
>>> class App(BaseApp):
...     async def run(self, input_data: Words) -> Count:
...         return Count(words=len(input_data.text.split()))
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from agentkit.apps.blanks import filled, fillers_of, names_of
from agentkit.apps.meta import OutputMeta

__all__ = ["BaseApp", "BaseAppInput", "BaseAppOutput", "BaseAppSetup", "OrderedModel"]


class OrderedModel(BaseModel):
    """A model whose JSON Schema lists its own fields as they are declared, then the inherited ones.

    That order is the order of the form that people fill in. For a `File` that may be None, "" and {} mean None.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        found = handler.resolve_ref_schema(written)
        names = [name for field in _declared(cls) for name in names_of(field, cls.model_fields[field])]
        if "properties" in found:
            properties: dict[str, Any] = found["properties"]
            found["properties"] = {name: properties[name] for name in _led(names, properties)}
        if "required" in found:
            found["required"] = _led(names, found["required"])
        return written

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema, fillers = handler(source), fillers_of(cls)
        if not fillers:  # a validator in front would keep strict models from reading JSON as JSON
            return schema
        return core_schema.no_info_before_validator_function(partial(filled, fillers=fillers), schema)


class BaseAppSetup(OrderedModel):
    """What an app is set up with, once per worker."""


class BaseAppInput(OrderedModel):
    """What a function takes."""


class BaseAppOutput(OrderedModel):
    """What a function gives; a generator gives it again and again, each time all of it so far."""

    output_meta: OutputMeta | None = Field(default=None, description="what was consumed and produced, for pricing")


class BaseApp(BaseModel):
    """An app: `setup` once per worker, `run` (or any public method between two models) per task, `unload` at the end.

    What is assigned to `self` stays. An app that can be stopped half way has an `on_cancel(self) -> bool`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")

    async def setup(self, *args: Any, **kwargs: Any) -> Any:
        """Loads what every run needs: `setup(self)`, `setup(self, config: MySetup, metadata)`, in any part."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Answers one task: `async def run(self, input_data: MyInput, metadata) -> MyOutput`."""
        raise NotImplementedError(f"{type(self).__name__} has no run method; write run(self, input_data: ...) -> ...")

    async def unload(self, *args: Any, **kwargs: Any) -> Any:
        """Frees what `setup` took."""


def _declared(model: type[BaseModel]) -> list[str]:
    """The fields that the class itself declares, in its order."""
    return [name for name in inspect.get_annotations(model) if name in model.model_fields]


def _led(first: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names, those of `first` in front."""
    present = list(names)
    lead = [name for name in dict.fromkeys(first) if name in present]
    return [*lead, *(name for name in present if name not in lead)]
