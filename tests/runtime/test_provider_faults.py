"""Whatever a model provider does, its run ends, the model is not asked again for it, and the other chats go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from agentkit.runtime.open import open_platform
from agentkit.runtime.ports import ModelRequest
from agentkit.testing import Scripted, call, finish
from agentkit.wire import LLMDelta
from tests.runtime.playing import Play, client_tool, invocations, playing, texts


class Provider:
    """Says what `speak` gives for the number of the request."""

    name = "odd"

    def __init__(self, speak: Callable[[int], list[dict[str, Any]]]) -> None:
        self.speak = speak
        self.asked = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        self.asked += 1
        for delta in self.speak(self.asked):
            yield LLMDelta.parse(delta)


def _give_up(number: int) -> list[dict[str, Any]]:
    raise asyncio.CancelledError


def _called(arguments: str, **more: Any) -> list[dict[str, Any]]:
    return [{"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look", "arguments": arguments}, **more}]}]


def _half_character(number: int) -> list[dict[str, Any]]:
    return [{"response": "an emoji cut in two: \ud83d"}]


def _half_character_in_a_call(number: int) -> list[dict[str, Any]]:
    return _called('{"q": "\ud83d"}')


def _no_index(number: int) -> list[dict[str, Any]]:
    return [{"tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]}, {"response": "after"}]


@pytest.mark.parametrize(
    ("speak", "said"),
    [
        (_half_character, "internal error: the answer cannot be kept"),
        (_half_character_in_a_call, "internal error: the answer cannot be kept"),
        (_no_index, "no integer 'index'"),
    ],
)
async def test_an_answer_that_cannot_be_kept_fails_its_run_and_is_not_asked_for_again(
    speak: Callable[[int], list[dict[str, Any]]], said: str
) -> None:
    await _fails(Provider(speak), said)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # nobody can make trio's Cancelled
async def test_a_provider_that_is_cancelled_inside_fails_its_run_alone(anyio_backend: str) -> None:
    await _fails(Provider(_give_up), "cancelled inside")


async def _fails(provider: Provider, said: str) -> None:
    """Plays one chat with the provider, then another one with a sound model on the same platform."""
    models = {"odd": provider, "scripted": Scripted(["fine"])}
    async with open_platform(providers=models, environ={}) as platform:  # type: ignore[arg-type]  # odd is the point
        odd = Play(platform, models["scripted"], {"core_app": {"ref": "odd/model"}, "tools": [client_tool()]})  # type: ignore[arg-type]
        await odd.say()
        chat = await odd.idle()
        assert chat["active_run"]["state"] == "failed"
        assert said in chat["active_run"]["error"]
        assert provider.asked == 1
        sound = Play(platform, models["scripted"], {"core_app": {"ref": "scripted/model"}})  # type: ignore[arg-type]
        await sound.say()
        assert texts(await sound.idle()) == ["fine"]


async def test_arguments_with_nan_are_no_json_and_the_model_is_told() -> None:
    async with playing(call("look", raw='{"q": NaN}'), "I see", tools=[client_tool()]) as play:
        await play.say()
        chat = await play.idle()
        [failed] = invocations(chat)
        assert failed["status"] == "failed"
        assert "not JSON" in failed["result"]
        assert texts(chat)[-1] == "I see"


async def test_finish_is_an_unknown_tool_where_it_is_switched_off() -> None:
    async with playing(finish("x"), "as text then", internal_tools={"finish": False}) as play:
        await play.say()
        chat = await play.idle()
        assert "there is no tool 'finish'" in invocations(chat)[0]["result"]
        assert (chat["output"], texts(chat)[-1]) == (None, "as text then")


async def test_a_plan_step_may_be_named_by_a_whole_number_with_a_point() -> None:
    update = call("plan_update", {"index": 1.0, "status": "completed"})
    async with playing(call("plan_create", {"steps": ["a", "b"]}), update, "done") as play:
        await play.say()
        chat = await play.idle()
        assert [step["status"] for step in chat["agent_data"]["plan_steps"]] == ["pending", "completed"]
