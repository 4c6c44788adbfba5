"""What agents, tools and their results say is shown as text, whatever it looks like."""

from __future__ import annotations

import pytest

from agentkit.testing import call
from tests.console.stage import Stage, expect
from tests.console.stories import begin, ledger
from tests.runtime.serving import KEY, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

SCRIPT = "<script>window.owned = 1; alert(1)</script>"
IMAGE = '<img src=x onerror="window.owned = 2">'
FRAME = "<iframe srcdoc='<script>parent.owned = 3</script>'></iframe>"
LINK = "javascript:window.owned=4"
MARKDOWN = f"[click me]({LINK}) ![x](https://evil.example/pixel.png)"
REVERSED = "pay \u202e001 EUR"  # would be read from right to left
SNEAKY = {
    "order": SCRIPT,
    "reason": IMAGE,
    "url": LINK,
    "html": FRAME,
    "text": MARKDOWN,
    "amount": REVERSED,
    "__proto__": "polluted",
    IMAGE: "a name",
    "nested": {"deep": [IMAGE, {"deeper": SCRIPT}]},
}
NO_ICON = "status of 404"  # of a page that is no console
SCHEMES = "[...new Set([...document.querySelectorAll('a')].map(each => each.protocol))]"
ANYTHING = {"type": "object", "additionalProperties": True}


def test_markup_in_arguments_names_and_messages_is_text(stage: Stage) -> None:
    steps = ([f"I say {SCRIPT} and {MARKDOWN}", call("refund", SNEAKY)], f"Done {IMAGE}")
    tool = {"display_name": f"Refund {IMAGE}", "description": f"Pays {SCRIPT}", "input_schema": ANYTHING}
    with ledger() as shop, served(*steps, allow_hosts=[shop.host]) as server, stage.visiting(server.url) as ann:
        dialogs: list[str] = []
        ann.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        shop.answer = {"see": LINK, "page": FRAME, "image": IMAGE}
        chat_id = begin(server.url, shop.tool(**tool), text=f"Hello {IMAGE}", name=f"Desk {IMAGE}")
        ann.goto()
        card = ann.by("inbox-card")
        for text in (f"Refund {IMAGE}", SCRIPT, IMAGE, FRAME, LINK, MARKDOWN):
            expect(card).to_contain_text(text)
        expect(card).not_to_contain_text("\u202e")  # told, not obeyed
        ann.by("edit").click()
        expect(ann.by("args-order")).to_have_value(SCRIPT)
        ann.by("args-reason").fill(f"{IMAGE} {SCRIPT}")
        expect(ann.by("diff")).to_contain_text(SCRIPT)
        ann.by("send-edit").click()
        expect(ann.by("winner")).to_contain_text("Approved by local")
        shop.until(1)
        ann.goto(f"/console/chats/{chat_id}", ready="chat")
        expect(ann.by("transcript")).to_contain_text(f"Done {IMAGE}")
        expect(ann.by("tool-call")).to_contain_text(LINK)  # of the result
        assert set(ann.page.evaluate(SCHEMES)) <= {"http:", "https:"}
        ann.goto("/console/chats", ready="chats")
        expect(ann.by("chat-row")).to_be_visible()
        assert ann.page.evaluate("[window.owned, {}.polluted, document.querySelectorAll('iframe').length]") == [
            None,
            None,
            0,
        ]
        assert dialogs == []


def test_no_link_runs_anything_or_hides_where_it_goes(stage: Stage) -> None:
    words = f"See {LINK} or data:text/html,{SCRIPT} or {MARKDOWN} or https://shop.example/a?b=1"
    with served(words) as server, stage.visiting(server.url) as ann:
        chat_id = begin(server.url, text=words)
        ann.goto(f"/console/chats/{chat_id}", ready="chat")
        expect(ann.by("transcript")).to_contain_text("click me")
        schemes = ann.page.evaluate(SCHEMES)
        beyond = ann.page.evaluate(
            "[...document.querySelectorAll('a')].filter(each => each.origin !== location.origin)"
            ".map(each => [each.rel.includes('noopener'), each.rel.includes('noreferrer')])"
        )
    assert set(schemes) <= {"http:", "https:"}
    assert all(each == [True, True] for each in beyond)


def test_no_other_page_can_frame_the_console(stage: Stage) -> None:
    with (
        served() as server,
        served() as other,
        stage.visiting(other.url, forgives=["frame", "Framing", NO_ICON]) as eve,
    ):
        eve.page.goto(f"{other.url}/health")
        eve.page.evaluate(
            """url => new Promise(done => {
                 const frame = document.createElement("iframe");
                 frame.onload = () => done(true);
                 frame.src = url;
                 document.body.append(frame);
               })""",
            f"{server.url}/console",
        )
        [framed] = [each for each in eve.page.frames if each != eve.page.main_frame]
        assert framed.url.startswith("chrome-error:")


def test_a_page_of_another_port_reads_and_changes_nothing(stage: Stage) -> None:
    with served(keys=[KEY]) as server, served() as other:
        refused = ["status of 401", "CORS", "ERR_FAILED", "status of 403", "preflight", NO_ICON]
        with stage.visiting(server.url, forgives=refused) as ann:
            ann.goto(ready="sign-in")
            ann.sign_in(KEY)
            ann.page.goto(f"{other.url}/health")  # the same host: the cookie goes along, and SameSite is no help
            tried = ann.page.evaluate(
                """async ([url, header]) => {
                     const tried = [];
                     for (const headers of [{}, {[header]: "1"}])
                       for (const [method, path] of [
                         ["GET", "/chats/x"], ["POST", "/chats/list"], ["DELETE", "/console/session"],
                       ])
                         for (const mode of ["cors", "no-cors"])
                           try {
                             const answer = await fetch(url + path, {method, mode, headers, credentials: "include"});
                             tried.push(answer.type === "opaque" ? "unreadable" : answer.status);
                           } catch (error) { tried.push("refused"); }
                     return tried;
                   }""",
                [server.url, "X-Agentkit-Console"],
            )
            assert set(tried) <= {"refused", "unreadable"}
            ann.goto(f"{server.url}/console")  # signed in still
