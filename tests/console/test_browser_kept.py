"""What a person typed, where they read and what they look at stay: over a reload, a lost race, older messages, logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from agentkit.runtime.open import FleetConfig
from agentkit.testing import Scripted, call
from tests.console.stage import Stage, Visitor, expect
from tests.console.stories import REFUND, SCHEMA, begin, eventually, ledger, post
from tests.runtime.serving import BARE, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

TALKER = '''
import time
from agentkit import BaseApp, BaseAppInput, BaseAppOutput

class AppInput(BaseAppInput):
    text: str

class AppOutput(BaseAppOutput):
    said: str

class App(BaseApp):
    async def run(self, input: AppInput) -> AppOutput:
        for number in range(600):
            print(f"step {number} of {input.text}", flush=True)
            time.sleep(0.1)
        return AppOutput(said=input.text)
'''  # fmt: skip


def test_what_was_typed_survives_a_reload_escape_a_refusal_and_another_answer(stage: Stage) -> None:
    with ledger() as shop, served(*_refunds(1), allow_hosts=[shop.host]) as server:
        begin(server.url, shop.tool(input_schema=SCHEMA))
        with stage.visiting(server.url, forgives=["status of 4"]) as ann:
            ann.goto()
            ann.by("edit").click()
            ann.by("args-amount").fill("77.5")
            ann.by("note").fill("as agreed")
            ann.page.reload()
            expect(ann.by("args-amount")).to_have_value("77.5")
            expect(ann.by("note")).to_have_value("as agreed")
            ann.by("args-amount").focus()
            ann.page.keyboard.press("Escape")
            ann.page.keyboard.press("Escape")
            expect(ann.by("send-edit")).to_have_count(0)
            ann.by("edit").click()
            ann.by("args-amount").fill("7700")
            ann.by("send-edit").click()
            expect(ann.page.get_by_role("alert").filter(has_text="500")).to_be_visible()
            expect(ann.by("args-amount")).to_have_value("7700")
            body = {"decision": "deny", "note": "not today", "by": "eve"}
            post(server.url, f"/interrupts/{ann.by('inbox-card').get_attribute('data-id')}/resolve", body)
            expect(ann.by("winner")).to_contain_text("Already rejected by eve")
            expect(ann.by("inbox-card")).to_contain_text("You had not sent this")
            expect(ann.by("args-amount")).to_have_value("7700")
        assert shop.entries == []


def test_a_link_to_a_question_brings_it_to_the_front_whether_it_waits_or_not(stage: Stage) -> None:
    with ledger() as shop, served(*_refunds(3), allow_hosts=[shop.host]) as server:
        for _ in range(3):
            begin(server.url, shop.tool())
        found = eventually(lambda: len(page := _get(server.url, "/interrupts")["items"]) == 3 and page)
        first, last = found[0]["id"], found[-1]["id"]
        post(server.url, f"/interrupts/{first}/resolve", {"decision": "deny"})
        with stage.visiting(server.url) as ann:
            ann.goto(f"/console/inbox?interrupt={last}")
            expect(_card(ann, last)).to_be_focused()
            ann.goto(f"/console/inbox?interrupt={first}")
            expect(_card(ann, first)).to_be_focused()
            expect(_card(ann, first)).to_contain_text("Rejected by local")


def test_older_messages_come_above_what_is_read(stage: Stage) -> None:
    with served(providers={"scripted": Scripted([f"Answer {number}." for number in range(25)])}) as server:
        chat_id = begin(server.url, text="Message 0")
        for number in range(1, 25):
            eventually(lambda: _get(server.url, f"/chats/{chat_id}")["status"] == "idle")
            post(server.url, "/agents/run", {"chat_id": chat_id, "input": {"text": f"Message {number}"}})
        eventually(lambda: _get(server.url, f"/chats/{chat_id}")["status"] == "idle")
        with stage.visiting(server.url) as ann:
            ann.goto(f"/console/chats/{chat_id}", ready="chat")
            expect(ann.by("message")).to_have_count(40)
            expect(ann.page.get_by_text("Answer 24.", exact=True)).to_be_in_viewport()
            ann.by("transcript").evaluate("element => { element.scrollTop = 0 }")
            first = ann.by("message").first.get_attribute("data-id")
            before = ann.page.locator(f'[data-id="{first}"]').bounding_box()
            ann.page.get_by_role("button", name="Show older messages").click()
            expect(ann.by("message")).to_have_count(50)
            after = ann.page.locator(f'[data-id="{first}"]').bounding_box()
            assert before and after and abs(before["y"] - after["y"]) < 3
            assert ann.by("message").first.inner_text().endswith("Message 0")
            expect(ann.by("new-messages")).to_be_hidden()


def test_a_task_is_seen_as_it_goes_and_cancelled(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "talker"
    folder.mkdir()
    (folder / "inf.yml").write_text("name: talker\n")
    (folder / "inference.py").write_text(TALKER)
    fleet = FleetConfig(size=1, cancel_seconds=1, kill_seconds=1)
    with served(apps={"acme/talker": folder}, fleet=fleet) as server:
        task = post(server.url, "/apps/run", {"app": "acme/talker", "input": {"text": "the <b>tale</b>"}})
        with stage.visiting(server.url) as ann:
            ann.goto("/console/tasks", ready="tasks")
            expect(ann.by("task-row")).to_contain_text("acme/talker")
            ann.by("task-row").click()
            ann.ready("task")
            expect(ann.by("logs")).to_contain_text("step 3 of the <b>tale</b>", timeout=30_000)
            expect(ann.by("task-status")).to_have_text("running")
            ann.by("cancel").click()
            expect(ann.by("task-status")).to_have_text("cancelled")
            expect(ann.by("cancel")).to_be_hidden()
        assert _get(server.url, f"/tasks/{task['id']}")["status"] == 12


# -- parts ---------------------------------------------------------------------------------------------------------


def _refunds(count: int) -> list[Any]:
    """What the model says in so many chats."""
    return [call("refund", REFUND) for _ in range(count)]


def _get(url: str, path: str) -> dict[str, Any]:
    response = httpx.get(f"{url}{path}", headers=BARE)
    assert response.status_code == 200, response.text
    return dict(response.json())


def _card(visitor: Visitor, interrupt_id: str) -> Any:
    return visitor.page.locator(f'.card[data-id="{interrupt_id}"]')
