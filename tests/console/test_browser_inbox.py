"""The inbox in a real browser: every way to answer, once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agentkit.testing import Scripted, call
from tests.console.stage import Stage, Visitor, expect
from tests.console.stories import REFUND, begin, eventually, ledger, make_key, post
from tests.runtime.serving import BARE, KEY, Served, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

LOST_RACE = "status of 409"
ANSWER = re.compile(r"/interrupts/[^/]+/resolve$")


def test_a_key_signs_in_and_signing_out_leaves_nothing_behind(stage: Stage) -> None:
    with served(keys=[KEY]) as server, stage.visiting(server.url, forgives=["status of 401"]) as ann:
        ann.goto("/console/chats", ready="sign-in")
        ann.by("api-key").fill(f"{KEY}-wrong")
        ann.by("sign-in").click()
        expect(ann.page.get_by_text("unknown here, expired, or revoked")).to_be_visible()
        ann.sign_in(KEY, ready="chats")  # back to where she was
        [cookie] = ann.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("agentkit_console", True, "Strict")
        kept = ann.page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert KEY not in kept and cookie["value"] not in kept
        ann.by("sign-out").click()
        ann.ready("sign-in")
        assert ann.context.cookies() == []


def test_who_signs_out_in_one_tab_is_out_in_all(stage: Stage) -> None:
    with served(keys=[KEY]) as server, stage.visiting(server.url) as ann:
        ann.goto(ready="sign-in")
        ann.sign_in(KEY)
        other = ann.context.new_page()
        other.goto("/console/chats")
        expect(other.locator("html")).to_have_attribute("data-ready", "chats")
        ann.by("sign-out").click()
        ann.ready("sign-in")
        expect(other.locator("html")).to_have_attribute("data-ready", "sign-in")


def test_a_key_that_is_deleted_leads_to_the_sign_in_page_and_from_there_to_where_one_was(stage: Stage) -> None:
    with served(keys=[KEY]) as server, stage.visiting(server.url, forgives=["status of 401"]) as ann:
        key = post(server.url, "/apikeys", {"name": "ann"}, key=KEY)
        ann.goto("/console/chats", ready="sign-in")
        ann.sign_in(key["key"], ready="chats")
        headers = {**BARE, "Authorization": f"Bearer {KEY}"}
        assert httpx.delete(f"{server.url}/apikeys/{key['id']}", headers=headers).status_code == 200
        ann.by("tab-tasks").click()
        ann.ready("sign-in")
        ann.sign_in(KEY, ready="tasks")


def test_a_question_is_approved_while_one_looks(stage: Stage) -> None:
    with ledger() as shop, served(call("refund", REFUND), "Paid back.", allow_hosts=[shop.host]) as server:
        with stage.visiting(server.url) as ann:
            ann.goto()
            begin(server.url, shop.tool(), text="The lid is cracked, I want my money back")
            card = ann.by("inbox-card")  # nobody reloads the page
            expect(card).to_contain_text("Refund an order")
            expect(card).to_contain_text("The lid is cracked")
            for name, value in REFUND.items():
                shown = "true" if value is True else str(value)
                expect(card.get_by_test_id(f"arg-{name}")).to_contain_text(shown)
            expect(ann.page).to_have_title(re.compile(r"^\(1\) Inbox"))
            card.get_by_test_id("approve").click()
            expect(ann.by("winner")).to_contain_text("Approved by local")
            expect(ann.page).to_have_title(re.compile(r"^Inbox"))
            shop.until(1)
        assert shop.entries == [REFUND]


def test_two_edits_at_once_have_one_winner_and_the_other_reads_who_won(stage: Stage) -> None:
    steps = (call("refund", REFUND), "Paid back.")
    with ledger() as shop, served(*steps, keys=[KEY], allow_hosts=[shop.host]) as server:
        people = {name: make_key(server.url, name) for name in ("ann", "bob")}
        begin(server.url, shop.tool(), key=KEY)
        with (
            stage.visiting(server.url, forgives=[LOST_RACE]) as ann,
            stage.visiting(server.url, forgives=[LOST_RACE]) as bob,
        ):
            held: list[Any] = []
            for who, name, amount in ((ann, "ann", "10"), (bob, "bob", "20")):
                who.goto(ready="sign-in")
                who.sign_in(people[name])
                who.by("edit").click()
                who.by("args-amount").fill(amount)
                expect(who.by("diff")).to_contain_text("149.9")
                who.page.route(ANSWER, lambda route: held.append(route))
            for who in (ann, bob):
                who.by("send-edit").click()
            _until(bob, lambda: len(held) == 2)
            for route in held:  # both are on their way before either is answered
                route.continue_()
            expect(ann.by("winner")).to_contain_text("pproved by")
            expect(bob.by("winner")).to_contain_text("pproved by")
            told = {name: who.by("winner").inner_text() for name, who in (("ann", ann), ("bob", bob))}
        shop.until(1)
        [interrupt] = eventually(lambda: _resolved(server.url))
    winner = interrupt["resolved_by"]
    loser = {"ann": "bob", "bob": "ann"}[winner]
    amount = {"ann": 10, "bob": 20}[winner]
    assert (interrupt["decision"], interrupt["edited_from"]) == ("edited", REFUND)
    assert shop.entries == [{**REFUND, "amount": amount}]  # once, as the winner wrote it
    assert told[winner].startswith(f"Approved by {winner}, with other arguments")
    assert told[loser].startswith(f"Already approved by {winner}, with other arguments")


def test_a_rejection_comes_with_its_reason(stage: Stage) -> None:
    with ledger() as shop, served(call("refund", REFUND), "As you wish.", allow_hosts=[shop.host]) as server:
        with stage.visiting(server.url) as ann:
            chat_id = begin(server.url, shop.tool())
            ann.goto()
            ann.by("note").fill("Ask for a photo first")
            ann.by("reject").click()
            expect(ann.by("winner")).to_contain_text("Rejected by local")
            expect(ann.by("winner")).to_contain_text("Ask for a photo first")
            chat = eventually(lambda: _idle(server, chat_id))
        [result] = [each["result"] for message in chat["chat_messages"] for each in message["tool_invocations"] or []]
    assert "Ask for a photo first" in result and shop.entries == []


def test_a_response_stands_in_for_the_call(stage: Stage) -> None:
    with ledger() as shop, served(call("refund", REFUND), "Thank you.", allow_hosts=[shop.host]) as server:
        with stage.visiting(server.url) as ann:
            chat_id = begin(server.url, shop.tool())
            ann.goto()
            ann.by("respond").click()
            ann.by("respond-text").fill("Paid in cash at the counter")
            ann.by("send-respond").click()
            expect(ann.by("winner")).to_contain_text("Answered by local")
            chat = eventually(lambda: _idle(server, chat_id))
        [result] = [each["result"] for message in chat["chat_messages"] for each in message["tool_invocations"] or []]
    assert result == "Paid in cash at the counter" and shop.entries == []


def test_an_edit_that_does_not_fit_is_refused_at_its_field_and_not_lost_by_a_reload(stage: Stage) -> None:
    with ledger() as shop, served(call("refund", REFUND), "Paid.", allow_hosts=[shop.host]) as server:
        with stage.visiting(server.url, forgives=["status of 4"]) as ann:
            begin(server.url, shop.tool())
            ann.goto()
            ann.by("edit").click()
            ann.by("args-amount").fill("5000")
            ann.by("args-reason").fill("It never came.")
            ann.by("send-edit").click()
            expect(ann.page.get_by_role("alert").filter(has_text=re.compile("500"))).to_be_visible()
            ann.page.reload()
            ann.ready("inbox")
            expect(ann.by("args-amount")).to_have_value("5000")
            expect(ann.by("args-reason")).to_have_value("It never came.")
            ann.by("args-amount").fill("50")
            ann.by("send-edit").click()
            expect(ann.by("winner")).to_contain_text("Approved by local, with other arguments")
            shop.until(1)
        assert shop.entries == [{**REFUND, "amount": 50, "reason": "It never came."}]


def test_always_allow_is_asked_once(stage: Stage) -> None:
    steps = (call("refund", REFUND), call("refund", {**REFUND, "order": "B-7"}), "Both are paid.")
    with ledger() as shop, served(*steps, allow_hosts=[shop.host]) as server:
        with stage.visiting(server.url) as ann:
            begin(server.url, shop.tool())
            ann.goto()
            ann.by("always").click()
            ann.by("always-tool").check()
            ann.by("send-always").click()
            expect(ann.by("winner")).to_contain_text("Approved by local")
            shop.until(2)
        assert [each["order"] for each in shop.entries] == ["A-1042", "B-7"]


def test_a_form_that_the_agent_made_is_filled_in(stage: Stage) -> None:
    question = {"question": "Which size fits?", "choices": ["S", "M", "L"]}
    with served(call("ask_user", question), "M it is.") as server, stage.visiting(server.url) as ann:
        chat_id = begin(server.url, internal_tools={"ask_user": True})
        ann.goto()
        card = ann.by("inbox-card")
        expect(card).to_contain_text("Which size fits?")
        card.get_by_label("M", exact=True).check()
        card.get_by_test_id("respond").click()
        expect(ann.by("winner")).to_contain_text("by local")
        chat = eventually(lambda: _idle(server, chat_id))
    [result] = [each["result"] for message in chat["chat_messages"] for each in message["tool_invocations"] or []]
    assert result == "M"


def test_only_the_group_that_is_named_may_answer(stage: Stage) -> None:
    steps = (call("refund", REFUND), "Paid back.")
    with ledger() as shop, served(*steps, keys=[KEY], allow_hosts=[shop.host]) as server:
        ann_key = make_key(server.url, "ann")
        cfo_key = make_key(server.url, "cleo", groups=("finance",))
        begin(server.url, shop.tool(approval={"approvers": ["finance"]}), key=KEY)
        with stage.visiting(server.url, forgives=["status of 403"]) as ann:
            ann.goto(ready="sign-in")
            ann.sign_in(ann_key)
            expect(ann.by("inbox-card")).to_contain_text("only for finance")
            ann.by("approve").click()
            expect(ann.by("notice")).to_contain_text("only members of finance may answer")
        assert shop.entries == []
        with stage.visiting(server.url) as cleo:
            cleo.goto(ready="sign-in")
            cleo.sign_in(cfo_key)
            cleo.by("approve").click()
            expect(cleo.by("winner")).to_contain_text("Approved by cleo")
            shop.until(1)


def test_the_keyboard_is_enough(stage: Stage) -> None:
    orders = ("A-1", "A-2", "A-3")
    scripts = {order: [call("refund", {**REFUND, "order": order}), "Done."] for order in orders}
    with ledger() as shop, served(providers={"scripted": Scripted(scripts)}, allow_hosts=[shop.host]) as server:
        for order in orders:
            begin(server.url, shop.tool(), core_app={"ref": f"scripted/{order}"})
        with stage.visiting(server.url) as ann:
            ann.goto()
            expect(ann.by("inbox-card")).to_have_count(3)
            press = ann.page.keyboard.press
            _settle(ann)
            press("j")
            _focused(ann, "A-1")
            press("j")
            _focused(ann, "A-2")
            press("k")
            _focused(ann, "A-1")
            press("a")
            expect(_card(ann, "A-1").get_by_test_id("winner")).to_contain_text("Approved")
            shop.until(1)
            press("j")
            _focused(ann, "A-2")
            press("e")
            expect(ann.by("args-order")).to_be_focused()
            press("Tab")
            expect(ann.by("args-amount")).to_be_focused()
            press("Control+a")
            ann.page.keyboard.type("7.5")
            _tab_to(ann, "send-edit")
            press("Enter")
            expect(_card(ann, "A-2").get_by_test_id("winner")).to_contain_text("with other arguments")
            shop.until(2)
            press("j")
            _focused(ann, "A-3")
            press("r")
            expect(_card(ann, "A-3").get_by_test_id("winner")).to_contain_text("Rejected")
            press("?")
            expect(ann.page.get_by_role("dialog")).to_be_visible()
            press("Escape")
            expect(ann.page.get_by_role("dialog")).to_be_hidden()
            for key, page in (("c", "chats"), ("t", "tasks"), ("u", "usage"), ("i", "inbox")):
                press("g")
                press(key)
                ann.ready(page)
    assert [(each["order"], each["amount"]) for each in shop.entries] == [("A-1", 149.9), ("A-2", 7.5)]


# -- parts ---------------------------------------------------------------------------------------------------------


def _card(visitor: Visitor, text: str) -> Any:
    return visitor.by("inbox-card").filter(has_text=text)


def _focused(visitor: Visitor, text: str) -> None:
    expect(_card(visitor, text)).to_be_focused()


def _settle(visitor: Visitor) -> None:
    """A card takes no key in its first 600 ms, so that none is meant for what was there before."""
    shown = visitor.page.evaluate("performance.now()")
    visitor.page.wait_for_function("shown => performance.now() - shown > 600", arg=shown)


def _tab_to(visitor: Visitor, test_id: str) -> None:
    for _ in range(12):
        if visitor.page.evaluate("document.activeElement.dataset.testid") == test_id:
            return
        visitor.page.keyboard.press("Tab")
    raise AssertionError(f"no way to {test_id} by Tab")


def _until(visitor: Visitor, wanted: Callable[[], bool]) -> None:
    """Waits on the browser's thread, where events come in only while somebody waits for the page."""
    for _ in range(500):
        if wanted():
            return
        visitor.page.wait_for_timeout(10)
    raise AssertionError("it did not come")


def _resolved(url: str) -> list[dict[str, Any]]:
    headers = {**BARE, "Authorization": f"Bearer {KEY}"}
    return list(httpx.get(f"{url}/interrupts?status=resolved", headers=headers).json()["items"])


def _idle(server: Served, chat_id: str) -> dict[str, Any] | None:
    chat = httpx.get(f"{server.url}/chats/{chat_id}", headers=BARE).json()
    return dict(chat) if chat["status"] == "idle" else None
