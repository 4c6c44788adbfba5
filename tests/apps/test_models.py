"""What authors inherit from: the order of schemas, metadata, pricing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from agentkit.apps import (
    BaseApp,
    BaseAppInput,
    BaseAppOutput,
    BaseAppSetup,
    ImageMeta,
    Metadata,
    OutputMeta,
    RawMeta,
    TextMeta,
    VideoMeta,
)


class Inner(BaseAppInput):
    zeta: int
    alpha: int


class Common(BaseAppInput):
    zebra: int
    apple: int


class Form(Common):
    mango: int
    inner: Inner
    banana: int = Field(alias="bananaCount")
    cherry: int = 0
    apple: int


class Result(BaseAppOutput):
    zoo: str
    ant: str


@pytest.mark.parametrize("base", [BaseAppInput, BaseAppOutput, BaseAppSetup])
def test_properties_and_required_are_in_the_order_they_are_declared(base: type[BaseModel]) -> None:
    model: Any = type("Model", (base,), {"__module__": __name__, "__annotations__": {"z": int, "a": int, "m": int}})
    schema = model.model_json_schema()
    assert list(schema["properties"])[:3] == schema["required"] == ["z", "a", "m"]


def test_own_fields_come_before_inherited_ones_and_aliases_keep_their_place() -> None:
    schema = Form.model_json_schema()
    assert list(schema["properties"]) == ["mango", "inner", "bananaCount", "cherry", "apple", "zebra"]
    assert schema["required"] == ["mango", "inner", "bananaCount", "apple", "zebra"]
    assert list(Result.model_json_schema()["properties"]) == ["zoo", "ant", "output_meta"]


def test_the_order_holds_inside_definitions_and_survives_json() -> None:
    schema = json.loads(json.dumps(Form.model_json_schema()))
    assert list(schema["$defs"]["Inner"]["properties"]) == schema["$defs"]["Inner"]["required"] == ["zeta", "alpha"]

    class Wrapped(BaseModel):
        result: Result

    assert list(Wrapped.model_json_schema()["$defs"]["Result"]["properties"]) == ["zoo", "ant", "output_meta"]


def test_what_an_app_assigns_to_itself_stays() -> None:
    class App(BaseApp):
        async def setup(self) -> None:
            self.model = object()
            self._hidden = 1

    app = App()
    app.anything = {"a": 1}
    assert app.anything == {"a": 1}


async def test_an_app_without_run_says_so_and_its_hooks_do_nothing() -> None:
    app = BaseApp()
    await app.setup()
    await app.unload()
    with pytest.raises(NotImplementedError, match="BaseApp has no run method"):
        app.run()


def test_metadata_takes_mappings_models_and_names(capfd: pytest.CaptureFixture[str]) -> None:
    metadata = Metadata.model_validate({"app_id": "a1", "shard": 7})
    metadata.update({"worker_id": "w1"})
    metadata.update(Metadata(task_id="t1"), user_id="u1")
    assert metadata.model_dump(exclude_none=True) == {
        "app_id": "a1",
        "worker_id": "w1",
        "task_id": "t1",
        "user_id": "u1",
        "shard": 7,
    }
    metadata.log("half done")
    assert capfd.readouterr().out == "half done\n"


def test_pricing_items_are_read_back_as_what_they_were() -> None:
    meta = OutputMeta(
        inputs=[TextMeta(tokens=150, extra={"cached": 20})],
        outputs=[VideoMeta(resolution="1080p", seconds=10.5), ImageMeta(count=2), RawMeta(cost=1.25)],
    )
    result = Result(zoo="z", ant="a", output_meta=meta)
    again = Result.model_validate_json(result.model_dump_json())
    assert again == result
    assert again.output_meta and isinstance(again.output_meta.outputs[1], ImageMeta)


def test_a_pricing_item_of_no_known_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="smell"):
        OutputMeta.model_validate({"outputs": [{"type": "smell"}]})
