"""Chats in a real browser: a transcript that grows while one reads it, and the message box."""

from __future__ import annotations

import pytest

from agentkit.testing import call, gate, think
from tests.console.stage import Stage, Visitor, expect
from tests.console.stories import REFUND, begin, ledger
from tests.runtime.serving import served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def _lines(first: int, count: int) -> str:
    return "".join(f"Line {number} of the answer.\n\n" for number in range(first, first + count))


def _top(visitor: Visitor, text: str) -> float:
    """How far from the top of the window this is."""
    box = visitor.page.get_by_text(text, exact=True).bounding_box()
    assert box is not None
    return float(box["y"])


def _sees(visitor: Visitor, text: str) -> None:
    expect(visitor.page.get_by_text(text, exact=True)).to_be_in_viewport()


def test_what_one_reads_stays_where_it_is_while_the_answer_grows(stage: Stage) -> None:
    first, second = gate(), gate()
    with (
        served([_lines(1, 120), first, _lines(121, 120), second, "The very end."]) as server,
        stage.visiting(server.url) as ann,
    ):
        chat_id = begin(server.url, text="Tell me everything")
        ann.goto(f"/console/chats/{chat_id}", ready="chat")
        _sees(ann, "Line 120 of the answer.")  # at the bottom, because nobody scrolled
        ann.by("transcript").hover()
        ann.page.mouse.wheel(0, -1500)
        expect(ann.page.get_by_text("Line 120 of the answer.", exact=True)).not_to_be_in_viewport()
        ann.page.wait_for_function(
            """() => new Promise(done => {
                 let last = -1, still = 0;
                 const look = () => {
                   const top = document.querySelector('[data-testid="transcript"]').getBoundingClientRect().top
                     + [...document.querySelectorAll("*")].reduce((sum, each) => sum + each.scrollTop, 0);
                   still = top === last ? still + 1 : 0;
                   last = top;
                   still > 5 ? done(true) : requestAnimationFrame(look);
                 };
                 look();
               })"""
        )
        place = _top(ann, "Line 60 of the answer.")
        first.open()
        expect(ann.by("new-messages")).to_be_visible()
        expect(ann.page.get_by_text("Line 240 of the answer.", exact=True)).to_be_attached()
        assert abs(_top(ann, "Line 60 of the answer.") - place) <= 1
        ann.by("new-messages").click()
        _sees(ann, "Line 240 of the answer.")
        expect(ann.by("new-messages")).to_be_hidden()
        second.open()
        _sees(ann, "The very end.")  # and it stays there again


def test_a_message_is_answered_with_thoughts_calls_and_results(stage: Stage) -> None:
    steps = (
        "Hello!",
        [think("They want their money back."), "Let me see.", call("refund", REFUND)],
        "It is paid back.",
    )
    with ledger() as shop, served(*steps, allow_hosts=[shop.host]) as server, stage.visiting(server.url) as ann:
        chat_id = begin(server.url, shop.tool())
        ann.goto("/console/chats", ready="chats")
        ann.by("chat-row").click()
        ann.ready("chat")
        assert ann.page.url.endswith(f"/console/chats/{chat_id}")
        expect(ann.by("transcript")).to_contain_text("Hello!")
        ann.by("message-box").fill("My kettle is broken")
        ann.by("send").click()
        expect(ann.by("transcript")).to_contain_text("My kettle is broken")
        expect(ann.by("tool-call")).to_contain_text("refund")
        ann.by("transcript").get_by_test_id("approve").or_(ann.by("approve")).first.click()
        expect(ann.by("transcript")).to_contain_text("It is paid back.")
        expect(ann.by("tool-call")).to_contain_text("rf_77")
        assert shop.entries == [REFUND]


def test_a_run_is_stopped(stage: Stage) -> None:
    endless = gate()
    with served(["I begin", endless, "never said"]) as server, stage.visiting(server.url) as ann:
        chat_id = begin(server.url)
        ann.goto(f"/console/chats/{chat_id}", ready="chat")
        expect(ann.by("transcript")).to_contain_text("I begin")
        ann.by("stop").click()
        endless.left.wait_sync()
        expect(ann.by("stop")).to_be_hidden()
        expect(ann.by("transcript")).not_to_contain_text("never said")
