"""What belongs to another owner does not exist here: no question of theirs is seen, answered, or told apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentkit.runtime.asking.inbox import Wanted
from agentkit.runtime.faults import Fault
from agentkit.wire import AlwaysAllow, CursorListRequest, Decide, RejectTool, ResolveInterrupt, UnknownOutcome
from tests.runtime.asking.asked import asking, row
from tests.runtime.playing import EVE, OWNER, Play

STRANGER = "somebody"
UNUSED = "0" * 26
WAYS: dict[str, Callable[[Play, dict[str, str]], Awaitable[Any]]] = {
    "invoke": lambda play, ids: play.platform.approvals.invoke(STRANGER, ids["call"], Decide(), by=EVE),
    "reject": lambda play, ids: play.platform.approvals.reject(STRANGER, ids["call"], RejectTool(), by=EVE),
    "resolve": lambda play, ids: play.platform.approvals.resolve(
        STRANGER, ids["question"], ResolveInterrupt(decision="allow"), by=EVE
    ),
    "always": lambda play, ids: play.platform.approvals.always_allow(
        STRANGER, ids["chat"], ids["call"], AlwaysAllow(), by=EVE
    ),
    "options": lambda play, ids: play.platform.approvals.always_allow_options(STRANGER, ids["chat"], ids["call"]),
    "explain": lambda play, ids: play.platform.approvals.explain(STRANGER, ids["chat"], ids["call"]),
    "run": lambda play, ids: play.platform.approvals.run_interrupts(STRANGER, ids["run"]),
    "get": lambda play, ids: play.platform.inbox.get(STRANGER, ids["question"]),
    "list": lambda play, ids: play.platform.inbox.page(
        STRANGER, CursorListRequest(), Wanted(chat_id=ids["chat"]), by=EVE
    ),
    "unknown": lambda play, ids: play.platform.chats.report_unknown(STRANGER, ids["call"], UnknownOutcome(attempt=1)),
}


@pytest.mark.parametrize("way", list(WAYS))
async def test_another_owners_question_is_refused_as_one_that_never_was(way: str) -> None:
    async with asking() as (play, asked):
        theirs = {
            "call": asked["resource_id"],
            "question": asked["id"],
            "chat": asked["chat_id"],
            "run": asked["run_id"],
        }
        said: list[str] = []
        for ids in (theirs, dict.fromkeys(theirs, UNUSED)):
            with pytest.raises(Fault) as refused:
                await WAYS[way](play, ids)
            assert refused.value.code == "not_found"
            text = refused.value.detail
            for id in ids.values():
                text = text.replace(id, "ID")
            said.append(text)
            others = {each for name, each in theirs.items() if ids[name] == UNUSED}
            assert not any(each in refused.value.detail for each in others)
        assert said[0] == said[1]
        assert (await row(play, asked)).status == "pending"
        assert (await play.platform.inbox.page(STRANGER, CursorListRequest(), Wanted(), by=EVE))["items"] == []
        assert len((await play.platform.inbox.page(OWNER, CursorListRequest(), Wanted(), by=EVE))["items"]) == 1
