"""Stored agents: versions, references, and what a chat keeps of them."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.errors import ReferenceSyntaxError
from agentkit.runtime.faults import Fault
from agentkit.runtime.open import open_platform
from agentkit.testing import Scripted
from agentkit.wire import CreateAgentRequest, CursorListRequest, RunAgentRequest
from tests.runtime.playing import OWNER, Play, playing, texts


def config(prompt: str) -> dict[str, Any]:
    return {"core_app": {"ref": "scripted/model"}, "system_prompt": prompt}


async def store(play: Play, prompt: str, **more: Any) -> dict[str, Any]:
    body = {"namespace": "acme", "name": "helper", "version": config(prompt), **more}
    return await play.platform.agents.create(OWNER, CreateAgentRequest.parse(body))


async def run(play: Play, ref: str) -> str:
    """Sends one message to that agent; the system prompt it ran with."""
    reply = await play.platform.chats.run(OWNER, RunAgentRequest.parse({"agent": ref, "input": {"text": "hi"}}))
    play.chat_id = reply["assistant_message"]["chat_id"]
    await play.idle()
    return play.model.requests[-1].system_prompt


async def test_a_reference_means_the_current_version_and_a_version_means_itself() -> None:
    async with playing("a", "b", "c", "d") as play:
        first = await store(play, "one")
        second = await store(play, "two", id=first["id"])
        assert second["id"] == first["id"]
        assert await run(play, "acme/helper") == "two"
        assert await run(play, f"acme/helper@{first['version_id']}") == "one"
        assert await run(play, f"acme/helper@{first['version']['short_id']}") == "one"
        assert await run(play, "acme/helper@latest") == "two"


async def test_versions_are_listed_newest_first_and_read_one_by_one() -> None:
    async with playing() as play:
        first = await store(play, "one")
        await store(play, "two", id=first["id"])
        page = await play.platform.agents.versions(OWNER, first["id"], CursorListRequest())
        assert [each["system_prompt"] for each in page["items"]] == ["two", "one"]
        one = await play.platform.agents.version(OWNER, first["id"], first["version_id"])
        assert one["system_prompt"] == "one"


async def test_a_name_that_is_taken_needs_the_id_for_a_new_version() -> None:
    async with playing() as play:
        await store(play, "one")
        with pytest.raises(Fault) as refused:
            await store(play, "two")
        assert refused.value.code == "name_conflict"


@pytest.mark.parametrize("ref", ["acme/nobody", "acme/helper@nope", "nobody"])
async def test_what_is_not_there_is_not_found(ref: str) -> None:
    async with playing() as play:
        await store(play, "one")
        with pytest.raises(Fault) as refused:
            await run(play, ref)
        assert refused.value.code == "not_found"


async def test_a_chat_keeps_its_agent_when_that_is_deleted() -> None:
    async with playing("a", "b") as play:
        stored = await store(play, "one")
        await run(play, "acme/helper")
        await play.platform.agents.delete(OWNER, stored["id"])
        with pytest.raises(Fault):
            await play.platform.agents.get(OWNER, stored["id"])
        body = {"chat_id": play.chat_id, "input": {"text": "and?"}}
        await play.platform.chats.run(OWNER, RunAgentRequest.parse(body))
        chat = await play.until(lambda chat: texts(chat) == ["a", "b"])
        assert chat["agent_id"] == stored["id"]
        assert play.model.requests[-1].system_prompt == "one"


async def test_agents_given_in_code_keep_their_reference_and_follow_the_code(tmp_path: Any) -> None:
    db, ref = tmp_path / "a.db", "my-org/assistant@abc123"
    for prompt in ("one", "one", "two"):
        model = Scripted(["hi"])
        async with open_platform(
            db=db, providers={"scripted": model}, environ={}, agents={ref: config(prompt)}
        ) as platform:
            play = Play(platform, model, {})
            assert await run(play, ref) == prompt
            assert len((await platform.agents.page(OWNER, CursorListRequest()))["items"]) == 1


async def test_pages_do_not_shift_when_something_is_added() -> None:
    async with playing() as play:
        for number in range(5):
            await store(play, "x", name=f"agent-{number}")
        first = await play.platform.agents.page(OWNER, CursorListRequest(limit=2))
        assert [each["name"] for each in first["items"]] == ["agent-4", "agent-3"]
        await store(play, "x", name="late")
        second = await play.platform.agents.page(OWNER, CursorListRequest(limit=2, cursor=first["next_cursor"]))
        third = await play.platform.agents.page(OWNER, CursorListRequest(limit=2, cursor=second["next_cursor"]))
        names = [each["name"] for page in (second, third) for each in page["items"]]
        assert names == ["agent-2", "agent-1", "agent-0"]
        assert (third["has_next"], third["next_cursor"]) == (False, "")


async def test_an_agent_that_could_not_run_is_not_stored() -> None:
    async with playing() as play:
        with pytest.raises(Fault) as refused:
            await store(play, "x", version={"output_schema": {"type": 3}})
        assert refused.value.code == "validation_error"


def test_a_reference_that_is_none_says_what_one_looks_like() -> None:
    with pytest.raises(ReferenceSyntaxError, match="namespace/name"):
        agents_reference("a//b")


def agents_reference(text: str) -> Any:
    from agentkit.protocol.refs import Reference

    return Reference.parse(text)
