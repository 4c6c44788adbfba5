"""Hooks of type webhook: what they are told, and what every answer of theirs does to the run."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.runtime.faults import Fault
from agentkit.runtime.records import HookCallRecord
from agentkit.testing import call, error, finish, gate
from tests.runtime.hooks.listening import HANG, LOOPBACK, hook, listening
from tests.runtime.playing import OWNER, REPORT, Play, client_tool, invocations, playing, texts

LOOK = call("look", {"q": "a"})


def on_event(event: str, answer: Any) -> Any:
    """Answers this event so, and allows the others."""
    return lambda payload: answer if payload["event"] == event else None


async def rows(play: Play) -> list[HookCallRecord]:
    return await play.platform._store.read(lambda tx: tx.find(HookCallRecord))  # pyright: ignore[reportPrivateUsage]


def said(play: Play, request: int = -1) -> list[tuple[str, str]]:
    """What the model was asked with: (role, text)."""
    return [(each.role, each.text) for each in play.model.requests[request].messages]


# -- being told ------------------------------------------------------------------------------------------------------


async def test_every_event_of_a_run_is_told_in_its_order() -> None:
    events = [
        "agent.start", "agent.turn_start", "agent.tool_call", "agent.tool_result", "agent.turn_complete",
        "agent.complete", "agent.idle",
    ]  # fmt: skip
    with listening() as listener:
        hooks = [hook(event, listener) for event in events]
        async with playing(LOOK, "Done.", tools=[client_tool()], hooks=hooks, allow_hosts=LOOPBACK) as play:
            reply = await play.say("Look around")
            await play.answer((await play.waits_for("awaiting_input"))["id"], "a tree")
            await play.idle()
            await listener.heard(9)
            turns = [each.payload["turn_count"] for each in listener.told[:7]]
            with anyio.fail_after(5):
                while await rows(play):  # nothing is left of a run that is over, once its last hooks have been told
                    await anyio.sleep(0.005)
    assert sorted(listener.events[-2:]) == ["agent.complete", "agent.idle"]
    assert listener.events[:-2] == [
        "agent.start", "agent.turn_start", "agent.tool_call", "agent.tool_result", "agent.turn_complete",
        "agent.turn_start", "agent.turn_complete",
    ]  # fmt: skip
    assert turns == [0, 0, 1, 1, 1, 1, 2]
    start, _, tool_call, tool_result, turn, *_ = listener.told
    assert start.payload["chat_id"] == play.chat_id
    assert start.payload["run_id"] == reply["assistant_message"]["agent_run_id"]
    assert start.data == {"text": "Look around"}
    assert (tool_call.data["tool_name"], tool_call.data["arguments"]) == ("look", {"q": "a"})
    assert (tool_result.data["status"], tool_result.data["result"]) == ("completed", "a tree")
    assert turn.data["tool_calls"][0]["result"] == "a tree"
    ended = next(each for each in listener.told if each.event == "agent.complete")
    assert ended.data == {"state": "completed", "error": None, "output": None, "text": "Done."}


async def test_a_payload_is_signed_and_has_a_key_of_its_own() -> None:
    with listening() as listener:
        hooks = [
            hook("agent.start", {"url": listener.url, "secret": "HOOK_KEY"}),
            hook("agent.turn_start", {"url": listener.url, "secret": "HOOK_KEY"}),
        ]
        options: Any = {"allow_hosts": LOOPBACK, "secrets": {"HOOK_KEY": "hush-hush"}}
        async with playing("Hi.", hooks=hooks, **options) as play:
            await play.say()
            await play.idle()
    for told in listener.told:
        expected = hmac.new(b"hush-hush", told.body, hashlib.sha256).hexdigest()
        assert told.headers["X-Webhook-Signature"] == f"sha256={expected}"
        assert b"hush" not in told.body
    assert len({told.headers["Idempotency-Key"] for told in listener.told}) == 2


async def test_a_secret_that_is_not_set_is_asked_for_before_the_message_is_taken() -> None:
    hooks = [hook("agent.start", {"url": "https://hooks.example/x", "secret": "NOT_THERE"})]
    async with playing("never", hooks=hooks) as play:
        with pytest.raises(Fault) as refused:
            await play.say()
    assert refused.value.code == "requirements_not_met"
    assert refused.value.members["errors"][0]["key"] == "NOT_THERE"


async def test_an_async_hook_is_not_waited_for_and_told_again_until_it_listens() -> None:
    answers = iter([503, HANG])
    with listening(lambda payload: next(answers, None)) as listener:
        hooks = [hook("agent.start", listener, **{"async": True}, timeout=0.2)]
        async with playing("Hi.", hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say()
            assert texts(await play.idle()) == ["Hi."]
            await listener.heard(2)  # not 200, then no answer in time: a pause of one second, then of three
            assert len({each.headers["Idempotency-Key"] for each in listener.told}) == 1


async def test_a_hook_that_is_only_told_is_told_once_and_before_the_others_have_answered() -> None:
    with listening() as told, listening({"decision": "deny"}) as asked:
        hooks = [hook("agent.tool_call", asked), hook("agent.tool_call", told, **{"async": True})]
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing([LOOK, call("look", {"q": "b"})], "Done.", hooks=hooks, **options) as play:
            await play.say()
            await play.idle()
            await told.heard(2)
    assert sorted(each.data["arguments"]["q"] for each in told.told) == ["a", "b"]


async def test_a_run_that_fails_is_told_as_an_error() -> None:
    with listening() as listener:
        hooks = [hook("agent.error", listener), hook("agent.complete", listener)]
        async with playing(error("the provider is down"), hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say()
            await listener.heard(1)
    assert [(each.event, each.data["error"]) for each in listener.told] == [("agent.error", "the provider is down")]


async def test_a_chat_is_idle_only_when_nothing_waits_behind_the_run() -> None:
    stop = gate()
    with listening() as listener:
        hooks = [hook("agent.idle", listener)]
        async with playing([stop, "one"], "two", hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say("1")
            await stop.reached.wait()
            await play.say("2")
            stop.open()
            await play.until(lambda chat: texts(chat) == ["one", "two"] and chat["status"] == "idle")
            await listener.heard(1)
    assert [each.data["text"] for each in listener.told] == ["two"]


# -- before a turn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["deny", "stop"])
@pytest.mark.parametrize("event", ["agent.start", "agent.turn_start"])
async def test_a_run_that_may_not_begin_is_canceled_and_says_why(event: str, decision: str) -> None:
    with listening({"decision": decision, "reason": "out of hours"}) as listener:
        async with playing("never", hooks=[hook(event, listener)], allow_hosts=LOOPBACK) as play:
            await play.say()
            chat = await play.idle()
            assert play.model.requests == []
    assert chat["active_run"]["state"] == "canceled"
    assert chat["active_run"]["error"] == f"stopped by a hook on {event}: out of hours"
    assert chat["chat_messages"][-1]["status"] == "cancelled"


async def test_what_is_injected_stands_before_the_next_answer_for_so_many_turns() -> None:
    def answer(payload: Any) -> Any:
        if payload["event"] == "agent.start":
            return {"inject": {"content": "It is Sunday.", "ttl_turns": 1}, "system": "Be brief."}
        if payload["event"] == "agent.turn_start":
            return {"inject": {"content": f"turn {payload['turn_count']}", "dedup_key": "turn"}}
        return None

    with listening(answer) as listener:
        hooks = [hook("agent.start", listener), hook("agent.turn_start", listener)]
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()], "system_prompt": "You look."}
        async with playing(LOOK, "Done.", "Again.", hooks=hooks, **options) as play:
            await play.say("go")
            await play.answer((await play.waits_for("awaiting_input"))["id"], "a tree")
            await play.idle()
            assert said(play, 0) == [("user", "go"), ("user", "It is Sunday."), ("user", "turn 0")]
            assert said(play, 1) == [("user", "go"), ("assistant", ""), ("tool", "a tree"), ("user", "turn 1")]
            assert [each.system_prompt for each in play.model.requests] == ["You look.\n\nBe brief."] * 2
            assert texts(await play.chat(), "user") == ["go"]  # what hooks put in is the model's alone
            play.config["hooks"] = None
            await play.say("and now")
            await play.idle()
            assert said(play)[-1] == ("user", "and now")  # and the run's alone
            assert play.model.requests[-1].system_prompt == "You look."


async def test_what_is_injected_stays_where_it_was_put() -> None:
    inject = {"content": "note", "items": [{"content": "and another", "role": "assistant"}]}
    with listening({"inject": inject}) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=[hook("agent.tool_call", listener)], **options) as play:
            await play.say("go")
            await play.answer((await play.waits_for("awaiting_input"))["id"], "a tree")
            await play.idle()
            assert said(play)[-3:] == [("tool", "a tree"), ("user", "note"), ("assistant", "and another")]


# -- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("hooks:deny")
async def test_a_denied_call_is_not_made_and_the_model_reads_why() -> None:
    with listening({"decision": "deny", "reason": "not on Sundays"}) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool(approval=True)]}
        async with playing(LOOK, "Then not.", hooks=[hook("agent.tool_call", listener)], **options) as play:
            await play.say()
            [made] = invocations(await play.idle())
    assert made["status"] == "failed"
    assert made["result"] == "a hook denied this call: not on Sundays"


async def test_a_call_is_asked_about_after_its_arguments_were_checked_and_before_a_person_is() -> None:
    with listening() as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool(approval=True)]}
        steps = (call("look", {"q": 1}), LOOK, "Done.")
        async with playing(*steps, hooks=[hook("agent.tool_call", listener)], **options) as play:
            await play.say()
            waiting = await play.waits_for("awaiting_approval")
            assert [each.data["arguments"] for each in listener.told] == [{"q": "a"}]
            assert waiting["function"]["arguments"] == {"q": "a"}
            [asked] = (await play.chat())["pending_interrupts"]
            assert asked["reason"] == "tool_approval"


async def test_hooks_of_one_moment_are_asked_in_turn_and_see_what_the_one_before_put_in() -> None:
    with listening({"override": {"q": "b"}}) as first, listening({"override": {"q": "c"}}) as second:
        hooks = [hook("agent.tool_call", first), hook("agent.tool_call", second)]
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=hooks, **options) as play:
            await play.say()
            waiting = await play.waits_for("awaiting_input")
    assert second.told[0].data["arguments"] == {"q": "b"}
    assert waiting["function"]["arguments"] == {"q": "c"}


async def test_the_first_hook_that_denies_is_the_last_that_is_asked() -> None:
    with listening({"decision": "deny"}) as first, listening() as second:
        hooks = [hook("agent.tool_call", first), hook("agent.tool_call", second)]
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=hooks, **options) as play:
            await play.say()
            await play.idle()
    assert (len(first.told), len(second.told)) == (1, 0)


@pytest.mark.parametrize(
    ("override", "problem"),
    [({"q": 7}, "q: 7 is not of type"), ("b", "they are no JSON object")],
    ids=["misfit", "text"],
)
async def test_arguments_that_a_hook_gives_are_checked_again(override: Any, problem: str) -> None:
    with listening({"override": override}) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=[hook("agent.tool_call", listener)], **options) as play:
            await play.say()
            [made] = invocations(await play.idle())
    assert made["status"] == "failed"
    assert problem in made["result"]


async def test_a_hook_that_hangs_holds_up_no_sibling() -> None:
    def answer(payload: Any) -> Any:
        return HANG if payload["data"]["arguments"]["q"] == "a" else None

    with listening(answer) as listener:
        hooks = [hook("agent.tool_call", listener, timeout=10)]
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        both = [LOOK, call("look", {"q": "b"})]
        async with playing(both, "Done.", hooks=hooks, **options) as play:
            await play.say()
            waiting = await play.waits_for("awaiting_input")
            assert waiting["function"]["arguments"] == {"q": "b"}
            assert play.chat_id is not None
            await play.platform.chats.stop(OWNER, play.chat_id)
            chat = await play.chat()
            assert {each["status"] for each in invocations(chat)} == {"cancelled"}
            assert await rows(play) == []


@pytest.mark.parametrize("event", ["agent.tool_call", "agent.tool_result", "agent.turn_complete"])
async def test_a_hook_may_stop_the_run_in_the_middle(event: str) -> None:
    with listening({"decision": "stop", "reason": "enough"}) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "never", hooks=[hook(event, listener)], **options) as play:
            await play.say()
            if event != "agent.tool_call":
                await play.answer((await play.waits_for("awaiting_input"))["id"])
            chat = await play.idle()
            assert len(play.model.requests) == 1
    assert (chat["active_run"]["state"], chat["active_run"]["error"]) == (
        "canceled",
        f"stopped by a hook on {event}: enough",
    )


# -- results and answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"override": "a [redacted]"}, "a [redacted]"),
        ({"override": {"trees": 1}}, '{"trees":1}'),
        ({"decision": "deny", "reason": "private"}, "a hook withheld the result: private"),
        (None, "a tree"),
    ],
    ids=["text", "json", "deny", "allow"],
)
async def test_the_model_reads_the_result_that_the_hook_gives(answer: Any, read: str) -> None:
    with listening(answer) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=[hook("agent.tool_result", listener)], **options) as play:
            await play.say()
            await play.answer((await play.waits_for("awaiting_input"))["id"], "a tree")
            chat = await play.idle()
            assert said(play)[-1] == ("tool", read)
    assert invocations(chat)[0]["result"] == read
    assert texts(chat, "tool") == [read]


async def test_a_text_that_a_hook_does_not_take_is_written_again() -> None:
    answers = iter([{"decision": "deny", "reason": "say please"}])
    with listening(lambda payload: next(answers, None)) as listener:
        hooks = [hook("agent.turn_complete", listener)]
        async with playing("Give it.", "Please give it.", hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say("go")
            chat = await play.idle()
            assert said(play) == [
                ("user", "go"),
                ("assistant", "Give it."),
                ("user", "Your last answer was not accepted: say please"),
            ]
    assert texts(chat) == ["Give it.", "Please give it."]
    assert chat["active_run"]["state"] == "completed"


async def test_an_output_that_a_hook_does_not_take_is_handed_in_again_within_its_budget() -> None:
    with listening({"decision": "deny", "reason": "too long"}) as listener:
        hooks = [hook("agent.turn_complete", listener)]
        steps = [finish({"title": "T", "pages": each}) for each in (900, 800, 700)]
        async with playing(*steps, output_schema=REPORT, hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say()
            chat = await play.idle()
    assert chat["active_run"]["state"] == "failed"
    assert chat["active_run"]["error"] == "no valid result in 3 attempts; the last: too long"
    assert [each["result"] for each in invocations(chat)] == ["the result was not accepted: too long"] * 3


async def test_a_text_without_the_output_is_still_reminded_of_it() -> None:
    with listening() as listener:
        hooks = [hook("agent.turn_complete", listener)]
        steps = ("Here.", finish({"title": "T", "pages": 1}))
        async with playing(*steps, output_schema=REPORT, hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say()
            chat = await play.idle()
    assert chat["output"] == {"title": "T", "pages": 1}
    assert len(listener.told) == 2


# -- no answer -------------------------------------------------------------------------------------------------------

NO_ANSWERS = {
    "status": (500, "HTTP 500"),
    "redirect": (302, "HTTP 302"),
    "no-json": (b"yes", "no JSON"),
    "no-object": (b"[]", "no object"),
    "unknown": ({"decision": "perhaps"}, "'perhaps', which is none of allow, deny, stop, suspend"),
    "wrong": ({"inject": {"ttl_turns": "many"}}, "inject.ttl_turns"),
    "late": (HANG, "no answer within 0.2 s"),
    "long": (b'{"reason": "' + b"x" * 1_000_001 + b'"}', "1,000,000"),
}


@pytest.mark.parametrize("how", NO_ANSWERS)
@pytest.mark.parametrize("default", [None, "deny", "allow"])
async def test_without_an_answer_the_default_counts(how: str, default: str | None) -> None:
    answer, why = NO_ANSWERS[how]
    with listening(answer) as listener:
        hooks = [hook("agent.tool_call", listener, timeout=0.2 if how == "late" else 10, default_resolution=default)]
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=hooks, **options) as play:
            await play.say()
            if default == "allow":
                await play.waits_for("awaiting_input")
                return
            [made] = invocations(await play.idle())
    assert made["status"] == "failed"
    assert made["result"].startswith("a hook denied this call: the hook gave no answer (")
    assert why in made["result"]
    assert listener.url not in made["result"]


async def test_a_webhook_that_is_not_allowed_to_be_reached_is_no_answer() -> None:
    with listening() as listener:
        options: Any = {"tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=[hook("agent.tool_call", listener)], **options) as play:
            await play.say()
            [made] = invocations(await play.idle())
    assert "is a loopback address" in made["result"] or "loopback" in made["result"]
    assert listener.told == []


DEFAULTS = {
    "agent.start": "canceled",
    "agent.turn_start": "canceled",
    "agent.tool_result": "completed",
    "agent.turn_complete": "completed",
}


@pytest.mark.requirement("hooks:fail-closed")
@pytest.mark.parametrize("event", DEFAULTS)
async def test_what_guards_is_closed_without_an_answer_and_what_tells_is_not(event: str) -> None:
    with listening(500) as listener:
        options: Any = {"allow_hosts": LOOPBACK, "tools": [client_tool()]}
        async with playing(LOOK, "Done.", hooks=[hook(event, listener)], **options) as play:
            await play.say()
            if DEFAULTS[event] == "completed":
                await play.answer((await play.waits_for("awaiting_input"))["id"], "a tree")
            chat = await play.idle()
            assert chat["active_run"]["state"] == DEFAULTS[event]
            if event == "agent.tool_result":
                assert "withheld" in said(play)[-1][1]


async def test_an_answer_of_the_model_that_had_to_be_judged_and_was_not_ends_the_run() -> None:
    with listening(500) as listener:
        hooks = [hook("agent.turn_complete", listener, default_resolution="deny")]
        async with playing("Hi.", hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say()
            chat = await play.idle()
            assert len(play.model.requests) == 1
    assert chat["active_run"]["state"] == "canceled"


async def test_neither_url_nor_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with listening(500) as listener, caplog.at_level(logging.DEBUG):
        hooks = [hook("agent.start", {"url": f"{listener.url}?key=sk-in-the-url", "secret": "HOOK_KEY"})]
        options: Any = {"allow_hosts": LOOPBACK, "secrets": {"HOOK_KEY": "hush-hush"}}
        async with playing("never", hooks=hooks, **options) as play:
            await play.say()
            chat = await play.idle()
    assert "hook" in caplog.text
    for secret in ("sk-in-the-url", "hush-hush"):
        assert secret not in caplog.text
        assert secret not in str(chat)


# -- restarts --------------------------------------------------------------------------------------------------------


async def test_a_restart_asks_again_with_the_same_key_what_was_not_answered(tmp_path: Path) -> None:
    answers = iter([HANG])
    with listening(lambda payload: next(answers, {"decision": "deny", "reason": "no"})) as listener:
        options: Any = {"db": tmp_path / "a.db", "allow_hosts": LOOPBACK, "tools": [client_tool()]}
        hooks = [hook("agent.tool_call", listener)]
        async with playing(LOOK, "never", hooks=hooks, **options) as play:
            await play.say()
            await listener.heard(1)
        async with playing("Done.", hooks=hooks, **options) as again:
            again.chat_id = play.chat_id
            [made] = invocations(await again.idle())
    assert made["result"] == "a hook denied this call: no"
    first, second = listener.told
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


async def test_a_restart_does_not_ask_again_what_was_answered(tmp_path: Path) -> None:
    stop = gate()
    with listening({"inject": {"content": "once"}}) as listener:
        options: Any = {"db": tmp_path / "a.db", "allow_hosts": LOOPBACK}
        hooks = [hook("agent.start", listener), hook("agent.turn_start", listener)]
        async with playing([stop, "never"], hooks=hooks, **options) as play:
            await play.say("go")
            await stop.reached.wait()
        async with playing("Done.", hooks=hooks, **options) as again:
            again.chat_id = play.chat_id
            await again.idle()
            assert said(again) == [("user", "go"), ("user", "once"), ("user", "once")]
    assert listener.events == ["agent.start", "agent.turn_start"]


async def test_a_deleted_chat_has_no_hooks_left() -> None:
    with listening(HANG) as listener:
        hooks = [hook("agent.start", listener), hook("agent.start", listener, **{"async": True})]
        async with playing("never", hooks=hooks, allow_hosts=LOOPBACK) as play:
            await play.say()
            await listener.heard(2)
            assert play.chat_id is not None
            await play.platform.chats.delete(OWNER, play.chat_id)
            assert await rows(play) == []
            with anyio.fail_after(5):
                assert await play.platform._store.read(lambda tx: tx.wakes()) == []  # pyright: ignore[reportPrivateUsage]
