"""The messages for Slack and mail: on real sockets, with a server that asks and people who press buttons."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import re
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from agentkit import inference
from agentkit.testing import call
from examples.approval_messages import web
from examples.approval_messages.mail import Link, MailDesk, mailer
from examples.approval_messages.notice import Notices
from examples.approval_messages.slack import SlackDesk, send
from tests.examples.desk_process import ROOT, environment
from tests.runtime.playing import client_tool
from tests.runtime.serving import AGENT, BARE, Served, message, served

pytestmark = pytest.mark.timeout(60)

SECRET, SIGNING, LINKS = "whsec-4a", "slack-5b", "links-6c"
TOLD: dict[str, Any] = {"approval_webhook_secret": "HOOKS", "secrets": {"HOOKS": SECRET}}
ARGUMENTS = {"q": "<!channel> ten\u202e"}


@contextmanager
def listening(routes: Mapping[tuple[str, str], web.Handle]) -> Generator[str]:
    """A server of these routes, which may be added to; its URL."""
    listener = web.server(routes)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), name="agentkit-test-desk")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_address[1]}"
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(10)


def ask(server: Served) -> None:
    agent = {**AGENT, "tools": [client_tool("pay", approval=True)]}
    httpx.post(f"{server.url}/agents/run", json=message(agent_config=agent), headers=BARE).raise_for_status()


def pending(server: Served) -> list[dict[str, Any]]:
    found = httpx.get(f"{server.url}/interrupts?status=all", headers=BARE).raise_for_status()
    return list(found.json()["items"])


# -- Slack ---------------------------------------------------------------------------------------------------------


@dataclass
class Slack:
    """Slack, as far as we see of it: messages come in, somebody presses buttons."""

    url: str = ""
    desk: str = ""
    got: Queue[dict[str, Any]] = field(default_factory=Queue)

    def hear(self, request: web.Request) -> web.Reply:
        self.got.put(json.loads(request.body))
        return web.Reply()

    def press(self, button: Mapping[str, Any], *, secret: str = SIGNING, age: int = 0) -> httpx.Response:
        told = {
            "type": "block_actions",
            "user": {"id": "U1", "username": "ann"},
            "response_url": f"{self.url}/message",
            "actions": [button],
        }
        body, at = urlencode({"payload": json.dumps(told)}), str(int(time.time()) - age)
        signed = hmac.new(secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={signed}"}
        return httpx.post(f"{self.desk}/slack", content=body, headers=headers, timeout=15)


@contextmanager
def slack(*steps: Any) -> Generator[tuple[Slack, Served]]:
    """Slack, the desk, and a server that tells it."""
    fake, routes = Slack(), dict[tuple[str, str], web.Handle]()
    with (
        listening({("POST", "/message"): fake.hear}) as fake.url,
        listening(routes) as fake.desk,
        served(*steps, approval_webhooks=[f"{fake.desk}/approvals"], **TOLD) as server,
        inference(base_url=server.url) as client,
    ):
        options: dict[str, Any] = {"webhook_url": f"{fake.url}/message", "signing_secret": SIGNING, "post": send}
        desk = SlackDesk(client, Notices(SECRET), **options)
        routes |= {("POST", "/approvals"): desk.hear, ("POST", "/slack"): desk.press}
        yield fake, server


def buttons(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = [each for block in told["blocks"] if block["type"] == "actions" for each in block["elements"]]
    return {each["action_id"]: each for each in found}


def test_a_button_in_slack_approves_the_call_once() -> None:
    with slack(call("pay", ARGUMENTS)) as (people, server):
        ask(server)
        told = people.got.get(timeout=10)
        shown = told["blocks"][1]["text"]
        assert (told["text"], shown["type"]) == ("pay waits for approval", "plain_text")
        assert (
            json.loads(shown["text"].replace("\\u202e", "")) == {"q": "<!channel> ten"} and "\\u202e" in shown["text"]
        )
        assert people.press(buttons(told)["approve"]).status_code == 200
        after = [people.got.get(timeout=10) for _ in range(2)]  # in place of the buttons, and for everybody else
        assert {each["text"] for each in after} == {"pay waits for approval: approved by slack:ann"}
        assert sorted(bool(each.get("replace_original")) for each in after) == [False, True]
        [resolved] = pending(server)
        assert (resolved["decision"], resolved["resolved_as"]) == ("approved", "slack:ann")
        people.press(buttons(told)["reject"])
        late = people.got.get(timeout=10)
        assert late["text"] == "pay waits for approval: it was answered already: approved by slack:ann"
        assert pending(server) == [resolved]


def test_a_rejection_in_slack_is_read_by_the_model() -> None:
    with slack(call("pay", ARGUMENTS), "a pity") as (people, server):
        ask(server)
        people.press(buttons(people.got.get(timeout=10))["reject"])
        assert people.got.get(timeout=10)["text"].endswith("rejected by slack:ann")
        assert [each["note"] for each in pending(server)] == ["rejected in Slack"]


@pytest.mark.parametrize(("secret", "age"), [("another", 0), (SIGNING, 400), (SIGNING, -400)])
def test_a_press_that_is_not_slacks_or_too_old_decides_nothing(secret: str, age: int) -> None:
    with slack(call("pay", ARGUMENTS)) as (people, server):
        ask(server)
        press = people.press(buttons(people.got.get(timeout=10))["approve"], secret=secret, age=age)
        assert press.status_code == 401
        assert [each["status"] for each in pending(server)] == ["pending"]


def test_a_webhook_that_is_not_signed_with_our_secret_is_told_to_nobody() -> None:
    with slack() as (people, _):
        told = {"id": "1", "event": "interrupt.requested", "interrupt": {"id": "x"}}
        assert httpx.post(f"{people.desk}/approvals", json=told).status_code == 401
        assert people.got.empty()


def test_whoever_does_not_see_all_of_the_arguments_cannot_approve_in_slack() -> None:
    with slack(call("pay", {"q": "x" * 5000})) as (people, server):
        ask(server)
        told = people.got.get(timeout=10)
        assert "approve" not in buttons(told) and all(
            len(b.get("text", {}).get("text", "")) <= 3000 for b in told["blocks"]
        )


def test_the_dry_run_prints_what_it_would_send() -> None:
    command = [sys.executable, "-W", "error", "-m", "examples.approval_messages.slack", "--dry-run", "--port", "0"]
    env = environment({"APPROVALS": SECRET, "AGENTKIT_BASE_URL": "http://127.0.0.1:9"})
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as desk:
        try:
            assert desk.stdout is not None
            url = f"http://127.0.0.1:{desk.stdout.readline().split()[-1]}/approvals"
            with served(call("pay", {"q": "ten"}), approval_webhooks=[url], **TOLD) as server:
                ask(server)
                lines = iter(desk.stdout.readline, "")
                said = "".join(iter(lambda: next(lines), "}\n"))
        finally:
            desk.terminate()
    assert json.loads(said + "}")["text"] == "pay waits for approval"


# -- mail ----------------------------------------------------------------------------------------------------------


class _Smtp(socketserver.StreamRequestHandler):
    """As much of SMTP as smtplib speaks."""

    timeout = 10
    got: Queue[EmailMessage]
    refusals: list[bytes]

    def handle(self) -> None:
        self._say(b"220 desk")
        while line := self.rfile.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                self._say(b"354 go on")
                self._take()
            elif word == b"QUIT":
                return self._say(b"221 bye")
            elif word == b"MAIL" and self.refusals:
                self._say(self.refusals.pop())
            else:
                self._say(b"250 fine")

    def _take(self) -> None:
        lines = list(iter(self.rfile.readline, b".\r\n"))
        text = b"".join(each[1:] if each.startswith(b"..") else each for each in lines)
        self.got.put(email.message_from_bytes(text, _class=EmailMessage, policy=email.policy.default))
        self._say(b"250 taken")

    def _say(self, text: bytes) -> None:
        self.wfile.write(text + b"\r\n")


@dataclass
class Post:
    """Somebody's mail box, and what their links lead to."""

    got: Queue[EmailMessage] = field(default_factory=Queue)
    refusals: list[bytes] = field(default_factory=list)
    url: str = ""

    def links(self) -> dict[str, str]:
        """The links of the next mail by what they decide."""
        text = self.got.get(timeout=20).get_content()
        return dict(re.findall(r"^(Approve|Reject): (\S+)", text, re.MULTILINE))


@contextmanager
def mail(*steps: Any) -> Generator[tuple[Post, Served]]:
    box, routes = Post(), dict[tuple[str, str], web.Handle]()
    handler = type("Handler", (_Smtp,), {"got": box.got, "refusals": box.refusals})
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as smtp,
        listening(routes) as box.url,
        served(*steps, approval_webhooks=[f"{box.url}/approvals"], **TOLD) as server,
        inference(base_url=server.url) as client,
    ):
        thread = threading.Thread(target=smtp.serve_forever, args=(0.02,), name="agentkit-test-smtp")
        thread.start()
        try:
            options: dict[str, Any] = {"to": ["ann@example.org"], "sender": "desk@example.org", "secret": LINKS}
            sender = mailer(f"smtp://127.0.0.1:{smtp.server_address[1]}")
            desk = MailDesk(client, Notices(SECRET), url=box.url, send=sender, **options)
            routes |= {
                ("POST", "/approvals"): desk.hear,
                ("GET", "/decide"): desk.look,
                ("POST", "/decide"): desk.decide,
            }
            yield box, server
        finally:
            smtp.shutdown()
            thread.join(10)


def token(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


def test_a_link_shows_a_page_and_the_pages_button_decides_once() -> None:
    with mail(call("pay", {"q": "<b>ten</b>"})) as (box, server):
        ask(server)
        links = box.links()
        for _ in range(2):  # whoever follows links to look for harm
            page = httpx.get(links["Approve"])
            assert page.status_code == 200 and "<button>Approve</button>" in page.text
            assert page.headers["referrer-policy"] == "no-referrer"
        assert httpx.head(links["Approve"]).status_code == 501
        assert [each["status"] for each in pending(server)] == ["pending"]
        form = {"token": token(links["Approve"]), "note": "fine by me"}
        done = httpx.post(f"{box.url}/decide", data=form, timeout=15)
        assert (done.status_code, "approved by ann@example.org" in done.text) == (200, True)
        [resolved] = pending(server)
        assert (resolved["resolved_as"], resolved["note"], resolved["decision"]) == (
            *("ann@example.org", "fine by me", "approved"),
        )
        late = httpx.post(f"{box.url}/decide", data={"token": token(links["Reject"])}, timeout=15)
        assert (late.status_code, "answered already" in late.text) == (409, True)
        assert pending(server) == [resolved]


def test_a_link_is_good_for_what_it_was_made_for_alone() -> None:
    with mail(call("pay", {"q": "ten"})) as (box, server):
        ask(server)
        good = token(box.links()["Reject"])
        link = Link.read(good, LINKS, now=0)
        assert link is not None and link.decision == "reject"
        told, _, mac = good.partition(".")
        forged = replace(link, decision="approve")
        for bad in (f"{forged.token('guess').partition('.')[0]}.{mac}", told, f"{told}.{mac[:-1]}", "", "é.ü"):
            for response in (
                httpx.get(f"{box.url}/decide", params={"token": bad}),
                httpx.post(f"{box.url}/decide", data={"token": bad}),
            ):
                assert response.status_code == 403
        assert Link.read(good, LINKS, now=link.until + 1) is None
        assert [each["status"] for each in pending(server)] == ["pending"]


def test_a_mail_server_that_refuses_is_tried_again() -> None:
    with mail(call("pay", {"q": "ten"})) as (box, server):
        box.refusals.append(b"451 later")
        ask(server)
        assert set(box.links()) == {"Approve", "Reject"} and box.refusals == []


def test_a_mail_without_all_of_the_arguments_has_no_links() -> None:
    with mail(call("pay", {"q": "x" * 5000})) as (box, server):
        ask(server)
        text = box.got.get(timeout=10).get_content()
        assert "console" in text and "/decide?" not in text
