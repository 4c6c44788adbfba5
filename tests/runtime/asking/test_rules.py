"""What is allowed once and for later calls too: how far a rule reaches, and where it ends."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.runtime.asking.rules import begins_with
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import ChatRecord
from agentkit.testing import call
from tests.runtime.asking.asked import LONG_AGO, asking, invoke, question
from tests.runtime.executors.asking import agent_tool, ask, begun, child
from tests.runtime.playing import ANN, OWNER, Play, client_tool, invocations, playing

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

RUN = client_tool("run", approval=True)
RUN["client"] = {
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}, "times": {"type": "integer"}},
        "required": ["command"],
    }
}


def run(command: str, **more: Any) -> Any:
    return call("run", {"command": command, **more})


async def is_asked(play: Play) -> bool:
    """Whether the next call waits for a person; one that does not is answered."""
    chat = await play.until(
        lambda chat: any(each["status"] in ("awaiting_approval", "awaiting_input") for each in invocations(chat))
    )
    waiting = next(each for each in invocations(chat) if each["status"] in ("awaiting_approval", "awaiting_input"))
    if waiting["status"] == "awaiting_input":
        await play.answer(waiting["id"], "done")
    return bool(waiting["status"] == "awaiting_approval")


async def allowed(play: Play, asked: dict[str, Any], always: dict[str, Any]) -> None:
    """Approves the first call, with a rule, and answers it."""
    await invoke(play, asked, always=always)
    await play.answer((await play.waits_for("awaiting_input"))["id"], "done")


@pytest.mark.parametrize(
    ("always", "later", "asks"),
    [
        pytest.param({"scope": "tool"}, run("rm -rf /"), False, id="tool"),
        pytest.param({"scope": "exact"}, run("git push"), False, id="exact-same"),
        pytest.param({"scope": "exact"}, run("git push", times=2), True, id="exact-other"),
        pytest.param(
            {"scope": "prefix", "argument": "command", "prefix": "git"}, run("git log"), False, id="prefix-word"
        ),
        pytest.param(
            {"scope": "prefix", "argument": "command", "prefix": "git"}, run("gitevil"), True, id="prefix-part"
        ),
        pytest.param(
            {"scope": "prefix", "argument": "command", "prefix": "git"},
            run("git log; rm -rf /"),
            True,
            id="prefix-shell",
        ),
        pytest.param({"scope": "tool", "seconds": 3600}, run("ls"), False, id="for-an-hour"),
    ],
)
async def test_a_rule_allows_what_it_says_and_no_more(always: dict[str, Any], later: Any, asks: bool) -> None:
    async with asking(later, "over", step=run("git push"), tools=[RUN]) as (play, asked):
        await allowed(play, asked, always)
        assert await is_asked(play) is asks
        if not asks:
            chat = await play.idle()
            assert len(await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"])) == 1
            assert invocations(chat)[-1]["approved_by"] == ("ann" if chat["agent_data"]["allow_rules"] else None)


@pytest.mark.parametrize(
    ("text", "prefix", "fits"),
    [
        pytest.param("git", "git", True, id="whole"),
        pytest.param("git status", "git ", True, id="blank-ends-it"),
        pytest.param("git-evil", "git", False, id="dash"),
        pytest.param("git.exe", "git", False, id="dot"),
        pytest.param("git_x", "git", False, id="underscore"),
        pytest.param("gité", "git", False, id="letter"),
        pytest.param("ls", "git", False, id="other"),
        pytest.param("", "", False, id="nothing"),
        *[
            pytest.param(f"git log{sign}rm", "git", False, id=f"shell-{ord(sign)}")
            for sign in (";", "&", "|", "$", "`", ">", "<", "\n", "\r", "(", ")", "\0")
        ],
        pytest.param("a;b c", "a;b", True, id="what-was-shown-may-have-them"),
        pytest.param("a; b", "a;", False, id="but-not-end-with-them"),
        pytest.param("a | b", "a | ", False, id="nor-with-blanks-after-them"),
        pytest.param("  b", "  ", False, id="blanks"),
        pytest.param("https://a.example/x", "https://a.example", True, id="site"),
        pytest.param("https://a.example.evil.org/", "https://a.example", False, id="site-longer"),
        pytest.param("https://a.example@evil.org/", "https://a.example", False, id="site-as-user"),
        pytest.param("https://a.example:80@evil.org/", "https://a.example", False, id="site-as-password"),
        *[
            pytest.param(f"https://a.example{sign}@evil.org/", "https://a.example", False, id=f"site-user-{ord(sign)}")
            for sign in "!,*'=\\ "
        ],
        pytest.param("https://a.example:80@evil.org/", "https://a.example:", False, id="site-port-as-password"),
        pytest.param("https://a.example @evil.org/", "https://a.example ", False, id="site-and-a-blank"),
        pytest.param("https://a.example?q=1", "https://a.example", True, id="site-query"),
        pytest.param("https://a.example", "https://a.example", True, id="site-alone"),
        pytest.param("curl https://a.example -I", "curl https://a.example", True, id="site-in-a-command"),
        pytest.param("curl https://a.example!@evil.org", "curl https://a.example", False, id="site-user-in-a-command"),
        pytest.param("https://a.example/v1/%2e%2E/x", "https://a.example/v1/", False, id="site-up-encoded"),
        pytest.param("https://a.example/v1/..%2fx", "https://a.example/v1/", False, id="site-up-slash-encoded"),
        pytest.param("https://a.example/v1/..?x", "https://a.example/v1/", False, id="site-up-before-query"),
        pytest.param("/data/../etc", "/data/.", False, id="folder-up-begun-by-the-prefix"),
        pytest.param("git log\nrm -rf /", "git log\n", False, id="line-ended-by-the-prefix"),
        pytest.param("/data/a/b.txt", "/data/a/", True, id="folder"),
        pytest.param("/data/a/../../etc", "/data/a/", False, id="folder-up"),
        pytest.param("/data/a/..", "/data/a", False, id="folder-up-at-end"),
        pytest.param("/data/a/..x", "/data/a", True, id="folder-dots-in-name"),
    ],
)
def test_a_prefix_is_of_whole_words_and_nothing_follows_that_a_shell_acts_on(
    text: str, prefix: str, fits: bool
) -> None:
    assert begins_with(text, prefix) is fits


@pytest.mark.parametrize(
    ("always", "said"),
    [
        pytest.param({"scope": "folder"}, "tool, exact or prefix", id="unknown-scope"),
        pytest.param({"scope": "prefix"}, "needs `argument`", id="prefix-of-nothing"),
        pytest.param({"scope": "prefix", "argument": "command", "prefix": ""}, "needs `argument`", id="prefix-empty"),
        pytest.param(
            {"scope": "prefix", "argument": "command", "prefix": "g" * 3000}, "more than 2000", id="prefix-too-long"
        ),
        pytest.param({"argument": "command", "prefix": "git"}, "go with the scope", id="prefix-without-scope"),
        pytest.param({"scope": "prefix", "argument": "command", "prefix": "gi"}, "this very call", id="half-a-word"),
        pytest.param({"scope": "prefix", "argument": "times", "prefix": "1"}, "this very call", id="no-text"),
        pytest.param({"seconds": 0}, "more than 0", id="no-time"),
        pytest.param({"seconds": 1e12}, "more than 0", id="beyond-time"),
        pytest.param({"expires_at": "2020-01-01T00:00:00Z"}, "no moment to come", id="over"),
        pytest.param({"expires_at": "2099-01-01T00:00:00"}, "no moment to come", id="no-zone"),
        pytest.param({"expires_at": "2099-01-01T00:00:00Z", "seconds": 5}, "not both", id="both"),
    ],
)
async def test_what_is_no_rule_is_refused_and_the_call_still_waits(always: dict[str, Any], said: str) -> None:
    async with asking(step=run("git push", times=1), tools=[RUN]) as (play, asked):
        with pytest.raises(Fault, match=said) as wrong:
            await invoke(play, asked, always=always)
        assert wrong.value.code == "invalid_request"
        chat = await play.chat()
        assert [each["id"] for each in chat["pending_interrupts"]] == [asked["id"]]
        assert chat["agent_data"]["allow_rules"] == [] == chat["agent_data"]["always_allowed_tools"]


async def test_a_rule_ends_by_the_clock_of_the_store() -> None:
    async with asking(run("ls"), run("ls"), "over", step=run("git push"), tools=[RUN]) as (play, asked):
        await allowed(play, asked, {"scope": "tool", "seconds": 3600})
        [rule] = (await play.chat())["agent_data"]["allow_rules"]
        assert (rule["scope"], rule["by"]) == ("tool", "ann") and rule["expires_at"] > asked["created_at"]
        waiting = await play.waits_for("awaiting_input")

        def end(tx: Writing) -> None:
            chat = tx.get(ChatRecord, str(play.chat_id))
            assert chat is not None
            tx.update(chat.but(allow_rules=[{**each, "expires_at": LONG_AGO} for each in chat.allow_rules]))

        await play.platform._store.write(end)
        await play.answer(waiting["id"], "done")
        again = await question(play)
        await invoke(play, again, always={"scope": "exact"})
        assert [each["scope"] for each in (await play.chat())["agent_data"]["allow_rules"]] == [
            "exact"
        ]  # the old is gone


async def test_the_same_rule_twice_is_one() -> None:
    step = [run("git push"), run("git pull")]
    prefix = {"scope": "prefix", "argument": "command", "prefix": "git"}
    async with playing(step, "over", tools=[RUN]) as play:
        await play.say()
        chat = await play.until(lambda chat: len(chat["pending_interrupts"]) == 2)
        for each in chat["pending_interrupts"]:
            await invoke(play, each, always=prefix)
        assert len((await play.chat())["agent_data"]["allow_rules"]) == 1


async def test_a_rule_for_edited_arguments_is_for_those() -> None:
    async with asking(run("git pull"), run("git push"), step=run("git push"), tools=[RUN]) as (play, asked):
        await invoke(play, asked, arguments={"command": "git pull"}, always={"scope": "exact"})
        await play.answer((await play.waits_for("awaiting_input"))["id"], "done")
        assert not await is_asked(play)
        assert (await question(play))["meta"]["arguments"] == {"command": "git push"}


async def test_what_is_allowed_below_holds_for_the_next_of_the_same_line_and_for_nobody_else() -> None:
    paying = child(tools=[client_tool("pay", approval=True)])
    tools = [agent_tool(paying, name="first"), agent_tool(paying, name="second")]
    pay = call("pay", {"q": "Ann"})
    scripts = {
        "model": [call(name, {"message": "please"}) for name in ("first", "first", "second")],
        "child": [pay, "one", pay, "two", pay],
    }
    async with playing(scripts=scripts, tools=tools) as play:
        await play.say()
        await invoke(play, await question(play), always={"scope": "exact"})
        for count in (1, 2):  # the call that was allowed, and that of the next child of `first`
            chat = (await begun(play, count))[-1]
            await play.answer((await chat.waits_for("awaiting_input"))["id"], "paid")
        other = await question(play)  # of the child of `second`
        [*_, third] = await begun(play, 3)
        assert (other["chat_path"], other["chat_id"]) == ([play.chat_id, third.chat_id], third.chat_id)
        [rule] = (await play.chat())["agent_data"]["allow_rules"]
        assert (rule["scope"], rule["via"], rule["by"]) == ("exact", ["first"], "ann")


async def test_a_tool_that_is_allowed_below_is_not_the_tool_of_that_name_above() -> None:
    paying = child(tools=[client_tool("pay", approval=True)])
    tools = [agent_tool(paying), client_tool("pay", approval=True)]
    pay = call("pay", {"q": "Ann"})
    async with playing(scripts={"model": [ask(), pay], "child": [pay, "one"]}, tools=tools) as play:
        await play.say()
        below = await question(play)
        await invoke(play, below, always={"scope": "tool"})
        [chat] = await begun(play)
        await play.answer((await chat.waits_for("awaiting_input"))["id"], "paid")
        own = await question(play)
        assert (own["chat_id"], own["id"] == below["id"]) == (play.chat_id, False)
        assert (await play.chat())["agent_data"]["always_allowed_tools"] == []
        assert (await chat.chat())["agent_data"]["always_allowed_tools"] == ["pay"]


async def test_options_are_rules_that_would_allow_the_call_and_can_be_taken() -> None:
    step = run("git push origin main", times=1)
    async with asking("over", step=step, tools=[RUN]) as (play, asked):
        approvals, chat_id = play.platform.approvals, str(play.chat_id)
        options = await approvals.always_allow_options(OWNER, chat_id, asked["resource_id"])
        assert [each["option"] for each in options] == [
            {"scope": "exact"},
            {"scope": "prefix", "argument": "command", "prefix": "git push"},
            {"scope": "prefix", "argument": "command", "prefix": "git"},
            {"scope": "tool", "seconds": 3600.0},
            {"scope": "tool"},
        ]
        assert options[1]["label"] == "run where command begins with 'git push'"
        with pytest.raises(Fault, match="has no invocation"):
            await approvals.always_allow_options(OWNER, "another", asked["resource_id"])
        with pytest.raises(Fault, match="has no invocation"):
            await approvals.always_allow_options("somebody", chat_id, asked["resource_id"])
        await invoke(play, asked, ANN, always=options[1]["option"])
        assert await approvals.always_allow_options(OWNER, chat_id, asked["resource_id"]) == []


@pytest.mark.parametrize(
    ("value", "prefixes"),
    [
        pytest.param("https://a.example/x?y=1", ["https://a.example/"], id="url"),
        pytest.param("https://[broken/x", [], id="no-url"),
        pytest.param("/data/a/b.txt", ["/data/a/"], id="path"),
        pytest.param("ls", [], id="word"),
        pytest.param("git log; rm", [], id="shell"),
        pytest.param("gitx  log", ["gitx ", "gitx"], id="blanks"),
    ],
)
async def test_options_offer_no_prefix_that_would_not_fit(value: str, prefixes: list[str]) -> None:
    async with asking(step=run(value), tools=[RUN]) as (play, asked):
        options = await play.platform.approvals.always_allow_options(OWNER, str(play.chat_id), asked["resource_id"])
        offered = [each["option"]["prefix"] for each in options if each["option"]["scope"] == "prefix"]
        assert offered == prefixes
