"""What every kind of tool does alike: one test per property, one column per kind; nothing behind a kind is a stand-in.

`python -m tests.runtime.executors.table` prints the table.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.testing import call
from agentkit.wire import Decide, RejectTool
from tests.runtime.executors.rigs import KINDS, LARGE, PROPERTIES, SECRET, Rig, at_work, rigged, work
from tests.runtime.playing import ADA, OWNER, Play, invocations, texts

SECONDS = 30  # for what starts processes
ASKS_AFTER_A_CRASH = ("app", "http", "mcp")  # what was begun may have had its effect, and nobody knows


async def over(play: Play) -> list[dict[str, Any]]:
    """The calls of the chat, once its run is over."""
    with anyio.fail_after(SECONDS):
        while True:
            chat = await play.chat()
            if chat["status"] == "idle" and chat["active_run"]["finished_at"]:
                return invocations(chat)
            await anyio.sleep(0.01)


async def only(rig: Rig, do: str, **more: Any) -> tuple[dict[str, Any], Play]:
    """The one call that the model makes, at its end."""
    async with at_work(rig, work(do), "thanks", **more) as play:
        await play.say()
        (made,) = await over(play)
        await ends_once(play, made["id"])
        return made, play


async def ends_once(play: Play, *invocation_ids: str) -> None:
    """In the chat's log each call becomes terminal once, and stays what it became."""
    frames = await play.platform._store.read(lambda tx: tx.events(str(play.chat_id)))
    for id in invocation_ids:
        told = [
            each["status"]
            for frame in frames
            if frame.name == "chat_messages"
            for each in frame.data.get("tool_invocations") or ()
            if each["id"] == id
        ]
        ends = [each for each in told if each in ("completed", "failed", "cancelled")]
        assert ends and len(set(ends)) == 1 and told[-len(ends) :] == ends, told


# -- the properties --------------------------------------------------------------------------------------------------


async def has_text(rig: Rig, folder: Path) -> None:
    if rig.kind == "internal":
        async with at_work(rig, call("memory_set", {"key": "a", "value": 1}), "thanks") as play:
            await play.say()
            (made,) = await over(play)
            assert (made["status"], made["result"]) == ("completed", "kept 'a'")
        return
    made, play = await only(rig, "text")
    assert made["status"] == "completed" and "swept the floor" in made["result"], made
    assert "swept the floor" in [m.text for r in play.model.requests for m in r.messages if m.role == "tool"][-1]
    assert rig.ledger() == ["text"] or rig.kind == "client"


async def has_json(rig: Rig, folder: Path) -> None:
    made, _ = await only(rig, "json")
    found = json.loads(made["result"]) if made["result"].startswith("{") else made["data"]
    if "result" in found and isinstance(found["result"], str) and found["result"].startswith("{"):
        found = json.loads(found["result"])  # a sub-agent's output
    assert (found["sum"], found["parts"]) == (4, [1, 3]), made


async def has_image(rig: Rig, folder: Path) -> None:
    made, play = await only(rig, "image")
    (file,) = made["attachments"]
    assert made["status"] == "completed" and file["content_type"] == "image/png", made
    shown = [uri for message in play.model.requests[-1].messages for uri in message.images]
    assert [uri[:22] for uri in shown] == ["data:image/png;base64,"]


async def refuses_what_misses_the_schema(rig: Rig, folder: Path) -> None:
    wrong = call("memory_set", {"key": 7, "value": 1}) if rig.kind == "internal" else call("work", {"do": 7})
    async with at_work(rig, wrong, "thanks") as play:
        await play.say()
        (made,) = await over(play)
        assert made["status"] == "failed" and "do not fit" in made["result"], made
        assert ("key:" if rig.kind == "internal" else "do:") in made["result"]
    assert rig.ledger() == []


async def waits_for_approval(rig: Rig, folder: Path) -> None:
    async with at_work(rig, work(), "thanks", tool={"require_approval": True}) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        assert rig.ledger() == []
        await play.platform.approvals.invoke(OWNER, waiting["id"], Decide(), by=ADA)
        (made,) = await over(play)
        assert made["status"] == "completed", made
        await ends_once(play, made["id"])
    assert rig.ledger() == ["text"] or rig.kind == "client"


async def does_not_run_when_rejected(rig: Rig, folder: Path) -> None:
    async with at_work(rig, work(), "thanks", tool={"require_approval": True}) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        await play.platform.approvals.reject(OWNER, waiting["id"], RejectTool(reason="not today"), by=ADA)
        (made,) = await over(play)
        assert (made["status"], made["result"]) == ("cancelled", "the user rejected this call: not today")
    assert rig.ledger() == []


async def tells_the_model_of_a_failure(rig: Rig, folder: Path) -> None:
    if rig.kind == "internal":
        async with at_work(rig, call("memory_get", {"key": "a"}), "thanks") as play:
            await play.say()
            (made,) = await over(play)
            assert made["status"] == "failed" and "nothing is kept under 'a'" in made["result"]
        return
    made, _ = await only(rig, "fail")
    assert made["status"] == "failed", made
    assert "the shelf is empty" in made["result"] or rig.kind == "agent"  # a bug of a model is not told in full


async def ends_in_time(rig: Rig, folder: Path) -> None:
    made, _ = await only(rig, "hang", tool={"timeout": 2.0, "retries": 0})
    assert made["status"] == "failed", made
    assert "2 s" in made["result"], made


async def stops_with_the_chat(rig: Rig, folder: Path) -> None:
    async with at_work(rig, work("hang"), "never") as play:
        await play.say()
        await play.waits_for("awaiting_input" if rig.kind in ("client", "hook") else "in_progress")
        with anyio.fail_after(SECONDS):
            while rig.kind != "client" and not rig.ledger():
                await anyio.sleep(0.01)
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        (made,) = await over(play)
        assert made["status"] == "cancelled", made
        await ends_once(play, made["id"])
        assert texts(await play.chat())[-1] != "never"


async def cuts_a_large_result(rig: Rig, folder: Path) -> None:
    made, play = await only(rig, "large", tool={"timeout": 20.0})
    assert made["status"] == "completed" and 50_000 <= len(made["result"]) < 60_000, len(made["result"])
    assert "read_result" in made["result"]
    (file,) = [each for each in made["attachments"] if each["filename"].endswith(".result.txt")]
    assert file["size"] >= LARGE
    offered = [each.name for each in play.model.requests[-1].tools]
    assert "read_result" in offered


async def siblings_do_not_touch_each_other(rig: Rig, folder: Path) -> None:
    steps = [work("text"), work("fail"), work("text"), work("json")]
    async with at_work(rig, steps, "thanks") as play:
        await play.say()
        made = await over(play)
        assert [each["status"] for each in made] == ["completed", "failed", "completed", "completed"], made
        await ends_once(play, *[each["id"] for each in made])
    assert sorted(rig.ledger()) == ["fail", "json", "text", "text"]


async def notices_the_same_call(rig: Rig, folder: Path) -> None:
    step = call("memory_getall", {}) if rig.kind == "internal" else work()
    async with at_work(rig, step, step, step, "thanks") as play:
        await play.say()
        await over(play)
        told = [each.text for each in play.model.requests[-1].messages if each.role == "tool"]
        assert ["3 times in this run" in each for each in told] == [False, False, True], told


async def goes_on_after_a_restart(rig: Rig, folder: Path) -> None:
    """The runtime ends while the tool hangs; the next one asks a person where it must, and the model is told."""
    db = folder / "chats.db"
    async with at_work(rig, work("hang"), db=db) as play:
        await play.say()
        with anyio.fail_after(SECONDS):
            while not rig.ledger():
                await anyio.sleep(0.01)
        chat_id, config = play.chat_id, play.config
    rig.child = {name: ["swept"] * 5 for name in rig.child}
    tool = {"timeout": 1.0}
    async with at_work(rig, "thanks", db=db, tool=tool) as play:
        play.chat_id, play.config = chat_id, config
        if rig.kind == "hook":  # whoever was called may still call back: the chat waits, until it is stopped
            (waiting,) = invocations(await play.chat())
            assert waiting["status"] == "awaiting_input"
            await play.answer(waiting["id"], "swept at last")
        if rig.kind in ASKS_AFTER_A_CRASH:
            waiting = await play.waits_for("awaiting_approval")
            await play.platform.approvals.reject(OWNER, waiting["id"], RejectTool(), by=ADA)
        (made,) = await over(play)
        is_denied = made["status"] == "cancelled" and made["result"].startswith("unknown outcome")
        assert made["status"] == "completed" or (is_denied and rig.kind in ASKS_AFTER_A_CRASH), made
        await ends_once(play, made["id"])
    assert rig.ledger() == ["hang"]


async def keeps_secrets(rig: Rig, folder: Path) -> None:
    db = folder / "chats.db"
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        async with at_work(rig, [work("text"), work("fail")], "thanks", db=db) as play:
            await play.say()
            made = await over(play)
            assert SECRET not in json.dumps(made)
            assert SECRET not in json.dumps(await play.chat())
            assert not [request for request in play.model.requests if SECRET in repr(request)]
    finally:
        logging.getLogger().removeHandler(handler)
    assert not [each for each in records if SECRET in each]
    for path in folder.rglob("*.db*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


_TESTS: dict[str, Callable[[Rig, Path], Awaitable[None]]] = {
    "text": has_text,
    "json": has_json,
    "image": has_image,
    "schema": refuses_what_misses_the_schema,
    "approval": waits_for_approval,
    "rejection": does_not_run_when_rejected,
    "failure": tells_the_model_of_a_failure,
    "timeout": ends_in_time,
    "stop": stops_with_the_chat,
    "large": cuts_a_large_result,
    "siblings": siblings_do_not_touch_each_other,
    "repeats": notices_the_same_call,
    "restart": goes_on_after_a_restart,
    "secrets": keeps_secrets,
}


def test_every_property_has_a_test() -> None:
    assert tuple(_TESTS) == PROPERTIES


@pytest.mark.requirement("tool:kinds-alike")
@pytest.mark.heavy
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("property", PROPERTIES)
async def test_conformance(property: str, kind: str, tmp_path: Path) -> None:
    with rigged(kind, tmp_path) as rig:
        if property in rig.left_out:
            assert rig.left_out[property]  # the table says why
            return
        await _TESTS[property](rig, tmp_path)
