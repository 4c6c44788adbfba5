"""Nothing that comes is lost: every model, with unknown fields and values at every depth."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit.schemas import models
from agentkit.wire import Chat, Page, Whole, Wire, parse_status
from tests.wire.json_of import objects

MODELS = [pytest.param(model, id=model.__name__) for model in models()]
PARTIAL = [pytest.param(m, id=m.__name__) for m in models() if not issubclass(m, (Whole, Page))]
WHOLE = [pytest.param(m, id=m.__name__) for m in models() if issubclass(m, (Whole, Page))]

FEW = settings(max_examples=8, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=20)


@pytest.fixture(scope="module")
def examples(request: pytest.FixtureRequest) -> settings:
    """How many of each model."""
    return MANY if request.config.getoption("--thorough") else FEW


def missing(sent: Any, written: Any, path: str = "$", *, agree: Callable[[Any, Any], bool] | None = None) -> list[str]:
    """Where `written` lacks something of `sent`, or has another value there."""
    if isinstance(sent, dict) and isinstance(written, dict):
        gone = [f"{path}.{name}" for name in sent if sent[name] is not None and name not in written]
        both = [name for name in sent if sent[name] is not None and name in written]
        return gone + [
            fault for name in both for fault in missing(sent[name], written[name], f"{path}.{name}", agree=agree)
        ]
    if isinstance(sent, list) and isinstance(written, list) and len(sent) == len(written):
        pairs = enumerate(zip(sent, written, strict=True))
        return [fault for index, (a, b) in pairs for fault in missing(a, b, f"{path}[{index}]", agree=agree)]
    return [] if (agree or same)(sent, written) else [f"{path}: {sent!r} became {written!r}"]


def same(sent: Any, written: Any) -> bool:
    if isinstance(sent, str) and isinstance(written, dict):
        return bool(json.loads(sent) == written)  # text that decodes to an object
    if isinstance(sent, str) and isinstance(written, int):
        return parse_status(sent) == written
    if isinstance(sent, bool) or isinstance(written, bool):
        return sent is written
    return bool(sent == written)


@pytest.mark.parametrize("model", MODELS)
def test_everything_that_was_sent_is_written_back(model: type[Wire], examples: settings) -> None:
    @examples
    @given(objects(model))
    def check(sent: dict[str, Any]) -> None:
        before = json.dumps(sent, sort_keys=True)
        written = model.parse(sent).to_wire()
        assert missing(sent, written) == []
        assert model.parse(written).to_wire() == written, "what was written reads back as something else"
        assert json.dumps(sent, sort_keys=True) == before, "parsing changed what it was given"
        assert json.loads(model.parse(sent).to_json()) == written

    check()


@pytest.mark.parametrize("model", PARTIAL)
def test_requests_and_parts_write_nothing_that_was_not_set(model: type[Wire], examples: settings) -> None:
    @examples
    @given(objects(model))
    def check(sent: dict[str, Any]) -> None:
        assert missing(model.parse(sent).to_wire(), sent, agree=lambda *_: True) == []

    check()


@pytest.mark.parametrize("model", WHOLE)
def test_answers_write_every_field_they_know(model: type[Wire]) -> None:
    assert model.parse({}).to_wire().keys() == {info.alias or name for name, info in model.model_fields.items()}


@pytest.mark.parametrize("model", MODELS)
def test_null_is_the_same_as_absent(model: type[Wire]) -> None:
    nulls = model.parse({info.alias or name: None for name, info in model.model_fields.items()})
    absent = model.parse({})
    assert {name: nulls[name] for name in model.model_fields} == {name: absent[name] for name in model.model_fields}


@pytest.mark.parametrize("model", MODELS)
def test_every_field_reads_by_attribute_and_by_its_name_on_the_wire(model: type[Wire]) -> None:
    read = model.parse({})
    for name, info in model.model_fields.items():
        assert read[info.alias or name] is getattr(read, name)
        assert (info.alias or name) in read


@MANY
@given(st.fixed_dictionaries({"items": st.lists(objects(Chat, depth=5), max_size=2), "next_cursor": st.none()}))
def test_a_page_keeps_what_is_deep_inside_its_items(sent: dict[str, Any]) -> None:
    page = Page[Chat].parse(sent)
    assert missing(sent, page.to_wire()) == []
    assert page.next_cursor == ""
    assert all(isinstance(chat, Chat) for chat in page.items)
