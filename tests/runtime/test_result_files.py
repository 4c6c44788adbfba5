"""Files of a client tool's result: which the platform takes, how it keeps them, and what the model is told."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import SubmitToolResult
from tests.runtime.playing import OWNER, Play, client_tool, playing

pytestmark = pytest.mark.anyio

LOOK = call("look", {"q": "Ada"})
PICTURE = {"uri": "https://example.com/a.png", "filename": "a.png", "content_type": "image/png"}


async def stored(play: Play, content: bytes, *, owner: str = OWNER, filename: str = "notes.txt") -> str:
    """The URI of a file of the owner's."""

    async def chunks() -> Any:
        yield content

    return f"inf://files/{(await play.platform.files.store(owner, chunks(), filename=filename)).id}"


async def test_files_are_kept_with_the_result_and_named_to_the_model() -> None:
    async with playing(LOOK, "Done.", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        uri = await stored(play, b"one line")
        answered = await play.answer(waiting["id"], "two files", attachments=[{"uri": uri}, PICTURE])
        assert [(each["filename"], each["content_type"]) for each in answered["attachments"]] == [
            ("notes.txt", "text/plain"),
            ("a.png", "image/png"),
        ]
        assert "text" not in answered["attachments"][0]
        await play.idle()
        [told] = [each for each in play.model.requests[-1].messages if each.role == "tool"]
        assert told.text == f"two files\n[file notes.txt text/plain: {uri}]"
        assert list(told.images) == [PICTURE["uri"]]


async def test_files_that_cannot_be_taken_are_refused_and_the_call_still_waits() -> None:
    async with playing(LOOK, "Done.", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        theirs = await stored(play, b"not yours", owner="somebody-else")
        for attachments, why in (
            ([PICTURE] * 21, "21 attachments; a result takes 20 at most"),
            ([{"uri": ""}], "needs its `uri`"),
            ([{"uri": theirs}], "not found"),
            ([{"uri": "inf://files/none"}], "not found"),
        ):
            with pytest.raises(Fault, match=why):
                await play.answer(waiting["id"], "x", attachments=attachments)
        await play.waits_for("awaiting_input")
        await play.answer(waiting["id"], "x", attachments=[PICTURE])
        await play.idle()


async def test_the_same_answer_again_is_fine_and_keeps_the_files_of_the_first() -> None:
    async with playing(LOOK, "Done.", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await play.answer(waiting["id"], "it", attachments=[PICTURE])
        again = await play.answer(waiting["id"], "it")
        assert [each["uri"] for each in again["attachments"]] == [PICTURE["uri"]]


async def test_a_webhook_cannot_attach_files() -> None:
    async with playing() as play:
        body = SubmitToolResult.parse({"result": "x", "attachments": [PICTURE]})
        with pytest.raises(Fault, match="a webhook has no files here"):
            await play.platform.chats.call_back("any", body, token="t")
