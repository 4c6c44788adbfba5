"""The console on a phone, and for eyes that want it dark or still."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.testing import call
from tests.console.stage import PHONE, Stage, Visitor, expect
from tests.console.stories import REFUND, begin, ledger
from tests.runtime.serving import served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

LONG = {**REFUND, "order": "A-" + "1042" * 60, "reason": "https://shop.example/" + "x" * 300}
TARGETS = """() => [...document.querySelectorAll("button, a[href], input, select, textarea, summary, [role=button]")]
    .filter(each => each.checkVisibility({visibilityProperty: true}) && !each.closest("[inert]"))
    .map(each => {
        const held = each.matches("input[type=radio], input[type=checkbox]") ? each.closest("label") ?? each : each;
        const box = held.getBoundingClientRect();
        return [each.dataset.testid ?? each.textContent.slice(0, 30) ?? each.tagName, box.width, box.height];
    })
    .filter(([, width, height]) => width > 1 && (height < 43.5 || width < 43.5))"""


def _fits(visitor: Visitor) -> None:
    widths = visitor.page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]")
    assert max(widths[:2]) <= widths[2] == PHONE["width"]
    small = visitor.page.evaluate(TARGETS)
    assert small == [], small


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_a_phone_and_a_thumb(stage: Stage, scheme: str) -> None:
    phone: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "color_scheme": scheme}
    with (
        ledger() as shop,
        served(["Let me see. " * 40, call("refund", LONG)], "Done.", allow_hosts=[shop.host]) as server,
    ):
        chat_id = begin(server.url, shop.tool())
        with stage.visiting(server.url, **phone, reduced_motion="reduce") as ann:
            ann.goto()
            expect(ann.by("inbox-card")).to_be_visible()
            _fits(ann)
            ann.by("edit").tap()
            expect(ann.by("send-edit")).to_be_visible()
            _fits(ann)
            for path, page in (
                (f"/console/chats/{chat_id}", "chat"),
                ("/console/chats", "chats"),
                ("/console/tasks", "tasks"),
                ("/console/usage", "usage"),
            ):
                ann.goto(path, ready=page)
                _fits(ann)
            ann.goto(f"/console/chats/{chat_id}", ready="chat")
            ann.by("approve").first.tap()
            expect(ann.by("transcript")).to_contain_text("Done.")
