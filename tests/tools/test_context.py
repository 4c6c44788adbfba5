"""What a handler may ask about its call."""

import hashlib
import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import UsageError
from agentkit.tools import Progress, ToolContext, idempotency_key

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
ARGS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def context(**more: Any) -> ToolContext:
    return ToolContext(chat_id="c", invocation_id="i", tool_name="pay", idempotency_key="k", **more)


def test_cancelled_is_asked_anew_each_time() -> None:
    answers = [False, True]
    ctx = context(is_cancelled=lambda: answers.pop(0))
    assert [ctx.cancelled, ctx.cancelled] == [False, True]


def test_a_context_made_by_hand_is_never_cancelled_and_nobody_hears_its_progress() -> None:
    ctx = context()
    ctx.progress("half", fraction=0.5)
    assert ctx.cancelled is False


def test_progress_reaches_whoever_listens_as_json() -> None:
    heard: list[Progress] = []
    ctx = context(on_progress=heard.append)
    ctx.progress("reading", fraction=0.25, data={"rows": (1, 2)})
    ctx.progress()
    assert heard == [Progress("reading", 0.25, {"rows": [1, 2]}), Progress()]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, 50, float("nan")])
def test_progress_beyond_the_whole_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match=r"tool 'pay'.*from 0 to 1"):
        context().progress(fraction=fraction)


def test_progress_data_that_is_no_json_is_refused() -> None:
    with pytest.raises(UsageError, match=r"tool 'pay'.*bytes at raw"):
        context().progress(data={"raw": b"x"})


def test_a_context_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        context().chat_id = "other"  # type: ignore[misc]  # the point


@given(ARGS, st.randoms(use_true_random=False))
def test_the_key_is_the_same_on_every_attempt_whatever_the_order_and_the_way_the_arguments_came(
    args: dict[str, Any], random: Any
) -> None:
    shuffled = list(args.items())
    random.shuffle(shuffled)
    again = json.loads(json.dumps(dict(shuffled)))
    assert idempotency_key("c", "i", "t", args) == idempotency_key("c", "i", "t", again)


@given(ARGS, ARGS)
def test_other_arguments_have_another_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    def text(args: dict[str, Any]) -> str:
        return json.dumps(plain(args), sort_keys=True)

    assert (idempotency_key("c", "i", "t", one) == idempotency_key("c", "i", "t", other)) == (text(one) == text(other))


def plain(value: Any) -> Any:
    """Whole floats as integers, as JSON has it."""
    match value:
        case float() if value == int(value):
            return int(value)
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def test_each_part_of_the_call_changes_the_key_and_none_runs_into_the_next() -> None:
    keys = {
        idempotency_key("c", "i", "t", {}),
        idempotency_key("ci", "", "t", {}),
        idempotency_key("c", "it", "", {}),
        idempotency_key("c", "i", "u", {}),
        idempotency_key("c", "i", "t", {"a": 1}),
        idempotency_key("c", "i", "t", {"a": "1"}),
        idempotency_key("c", "i", "t", {"a": True}),
    }
    assert len(keys) == 7


def test_the_key_does_not_change_between_versions() -> None:
    hashed = rb'["chat","inv","pay",{"sum":2,"to":"Zo\u00eb","x":[null,0.5]}]'
    key = idempotency_key("chat", "inv", "pay", {"to": "Zoë", "sum": 2.0, "x": [None, 0.5]})
    assert key == hashlib.sha256(hashed).hexdigest()
