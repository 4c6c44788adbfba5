"""Pictures of the console for the documentation: `python -m tests.console.screenshots docs/console`.

A refund desk with a few chats in a server of its own, and the installed Chromium; light, 1280 by 800, and a phone.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from agentkit.testing import Scripted, call, think
from tests.console.stage import PHONE, Stage, Visitor, expect
from tests.console.stories import Ledger, begin, ledger, make_key
from tests.runtime.serving import KEY, Served, served

COLOURS = 128
DESK = {
    "name": "Refund desk",
    "description": "Answers customers of a kitchen shop.",
    "system_prompt": "You are the refund desk of a kitchen shop. Ask a person before money moves.",
}
LIDS = (
    "The kettle arrived with a cracked lid, and steam comes out at the side. Order A-1042. I would like my money back."
)
OFFER = "I am sorry about that. It was delivered three days ago, so you can have your money back. Shall I refund it?"
EXPENSE = {
    "type": "object",
    "properties": {
        "employee": {"type": "string"},
        "total": {"type": "number", "minimum": 0},
        "currency": {"type": "string", "enum": ["EUR", "USD", "GBP"]},
        "cost_center": {"type": "string"},
        "items": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["employee", "total", "currency"],
}
STEPS: dict[str, list[Any]] = {
    "kettle": [
        [think("Delivered on the 12th, so it is within 30 days. A cracked lid is a defect."), OFFER],
        [
            "The full price goes back to your card.",
            call(
                "refund",
                {"order": "A-1042", "amount": 149.9, "currency": "EUR", "to_card": True, "reason": "Cracked lid."},
            ),
        ],
    ],
    "travel": [
        [
            "I read the three receipts. They add up to the total of the claim.",
            call(
                "reimburse",
                {
                    "employee": "m.okafor",
                    "total": 412.35,
                    "currency": "EUR",
                    "cost_center": "4410 Sales north",
                    "items": [
                        {"date": "2026-03-03", "what": "Train Hamburg to Munich", "amount": 214.9},
                        {"date": "2026-03-04", "what": "Hotel, one night", "amount": 169.0},
                        {"date": "2026-03-04", "what": "Taxi", "amount": 28.45},
                    ],
                },
            ),
        ]
    ],
    "blender": [
        [
            call("ask_user", {"question": "The blender is out of stock. What does the customer get?",
                              "choices": ["The next model, at no extra cost", "A refund", "A voucher of 20 EUR"]}),
        ]
    ],
    "paid": [
        ["The pan came twice, so the second one is paid back.",
         call("refund", {"order": "A-0988", "amount": 64.0, "currency": "EUR", "reason": "Sent twice by mistake."})],
        "Done: 64.00 EUR are on their way to your card. You may keep the second pan.",
    ],
}  # fmt: skip


def _tools(url: str) -> list[dict[str, Any]]:
    """The tools of the desks, behind this URL."""
    there = Ledger(url)
    rules = {"approvers": ["finance"]}
    refund = there.tool(approval={**rules, "timeout": 8 * 3600})
    reimburse = there.tool(
        name="reimburse", display_name="Reimburse an expense claim", description="Pays a claim with the next payroll.",
        input_schema=EXPENSE, approval=rules,
    )  # fmt: skip
    reimburse["http"]["url"] = f"{url}/claims"
    return [refund, reimburse]


def _prepare(server: Served, shop: Ledger) -> str:
    """The chats; the id of the one to look at."""

    def ask(script: str, text: str, *, at: str = "https://pay.example", **config: Any) -> str:
        chosen = {**DESK, **config, "core_app": {"ref": f"scripted/{script}"}, "internal_tools": {"ask_user": True}}
        return begin(server.url, *_tools(at), text=text, key=KEY, **chosen)

    ask("paid", "You sent the same pan twice. Order A-0988.", at=shop.url)
    ask("travel", "Please check my claim for the trade fair in Munich.", name="Expense desk")
    ask("blender", "When does my blender come? Order A-1017.")
    return ask("kettle", LIDS)


def _save(visitor: Visitor, path: Path) -> None:
    """Takes the picture, in few colours: text stays sharp, and a file small."""
    visitor.page.evaluate("document.fonts.ready")
    picture = Image.open(BytesIO(visitor.page.screenshot(animations="disabled", caret="hide")))
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def take(stage: Stage, folder: Path) -> None:
    """All pictures, on the browser's thread."""
    with ledger() as shop, served(
        providers={"scripted": Scripted(STEPS)}, keys=[KEY], allow_hosts=[shop.host]
    ) as server:  # fmt: skip
        shop.answer = {"refund": "rf_5521", "status": "paid", "arrives": "2026-03-09"}
        key = make_key(server.url, "nora", groups=("finance",))
        chat_id = _prepare(server, shop)
        with stage.visiting(server.url, locale="en-GB") as nora:
            nora.goto(ready="sign-in")
            nora.sign_in(key)
            nora.by("inbox-card").filter(has_text="A-0988").get_by_test_id("approve").click()
            shop.until(1)
            nora.goto(f"/console/chats/{chat_id}", ready="chat")
            nora.by("message-box").fill("Yes please, to the card I paid with.")
            nora.by("send").click()
            expect(nora.by("inbox-card")).to_be_visible()
            _save(nora, folder / "chat.png")
            nora.goto()
            expect(nora.by("inbox-card").filter(has_text="A-1042")).to_be_visible()
            _save(nora, folder / "inbox.png")
            card = nora.by("inbox-card").filter(has_text="A-1042")
            card.get_by_test_id("edit").click()
            nora.by("args-amount").fill("134.9")
            nora.by("args-reason").fill("Cracked lid on arrival; the shipping stays with us.")
            nora.by("send-edit").scroll_into_view_if_needed()
            _save(nora, folder / "edit.png")
            nora.goto("/console/chats", ready="chats")
            _save(nora, folder / "chats.png")
        phone: dict[str, Any] = {
            "viewport": PHONE,
            "device_scale_factor": 2,
            "has_touch": True,
            "is_mobile": True,
            "locale": "en-GB",
        }
        with stage.visiting(server.url, **phone) as nora:
            nora.goto(ready="sign-in")
            nora.sign_in(key)
            expect(nora.by("inbox-card").first).to_be_visible()
            _save(nora, folder / "phone.png")


def main(folder: Path) -> None:
    """Writes the pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with Stage() as stage:
        stage.run(lambda: take(stage, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
