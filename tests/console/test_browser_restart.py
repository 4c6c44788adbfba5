"""The console beside a server that is killed: it comes back, and so does what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.stage import Stage, expect
from tests.console.stories import REFUND, begin, ledger, place
from tests.runtime.serving import KEY

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

REFUND_CALL = {"name": "refund", "arguments": REFUND}
GONE = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE")
FORGIVEN = GONE


def test_after_kill_9_the_inbox_is_live_again_and_the_cookie_still_counts(stage: Stage, tmp_path: Path) -> None:
    with ledger() as shop, place(tmp_path, key=KEY, allows=shop.host) as there:
        there.start(REFUND_CALL)
        begin(there.url, shop.tool(), key=KEY, text="the first one")
        with stage.visiting(there.url, forgives=FORGIVEN) as ann:
            ann.goto(ready="sign-in")
            ann.sign_in(KEY)
            first = ann.by("inbox-card").filter(has_text="the first one")
            expect(first).to_be_visible()
            there.kill()
            there.start("Paid.", REFUND_CALL)
            first.get_by_test_id("approve").click()
            expect(first.get_by_test_id("winner")).to_contain_text("Approved by configured")
            shop.until(1)
            begin(there.url, shop.tool(), key=KEY, text="the second one")
            expect(ann.by("inbox-card").filter(has_text="the second one")).to_be_visible()  # without a reload
        assert shop.entries == [REFUND]


def test_a_call_whose_outcome_nobody_knows_is_asked_about_and_not_run_again(stage: Stage, tmp_path: Path) -> None:
    with ledger() as shop, place(tmp_path, allows=shop.host) as there:
        there.start(REFUND_CALL)
        shop.is_stuck = True
        begin(there.url, shop.tool(require_approval=False))
        shop.until(1)
        there.kill()
        there.start("So it was paid.")
        with stage.visiting(there.url) as ann:
            ann.goto()
            card = ann.by("inbox-card")
            expect(card.get_by_test_id("unknown-outcome")).to_contain_text("may have run already")
            expect(card.get_by_test_id("approve")).to_have_text("Run it again")
            expect(card.get_by_test_id("always")).to_have_count(0)
            card.get_by_test_id("respond").click()
            ann.by("respond-text").fill("The bank shows it as paid")
            ann.by("send-respond").click()
            expect(ann.by("winner")).to_contain_text("Answered by local")
            ann.by("open-chat").click()
            ann.ready("chat")
            expect(ann.by("transcript")).to_contain_text("So it was paid.")
        assert shop.entries == [REFUND]
