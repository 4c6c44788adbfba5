"""Approvals in Slack: a message with two buttons for each call that waits, and what became of it.

    agentkit serve --approval-webhook http://127.0.0.1:8790/approvals --approval-webhook-secret APPROVALS ...
    python -m examples.approval_messages.slack --port 8790

It takes AGENTKIT_BASE_URL, APPROVALS (the secret that the webhooks are signed with), INFERENCE_API_KEY (a key with
`approvals:write`, in the groups that may answer), SLACK_WEBHOOK_URL and SLACK_SIGNING_SECRET from the environment.
Slack's "Interactivity" request URL is `/slack` here. With `--dry-run` messages are printed instead of sent.
"""

import argparse
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from agentkit import Inference, inference
from agentkit.errors import AgentKitError, AlreadyResolvedError, ConflictError
from examples.approval_messages.notice import LONGEST_SHOWN, Notice, Notices, NotOurs, ended, lost, setting
from examples.approval_messages.web import Reply, Request, server

OLDEST_SECONDS = 300  # a signed request that is older was recorded, and is sent again

Post = Callable[[str, Mapping[str, Any]], None]


class SlackDesk:
    """Between the webhooks of agentkit and Slack. `post` sends a JSON body to a URL, and raises where it cannot."""

    def __init__(
        self, client: Inference, notices: Notices, *, webhook_url: str, signing_secret: str, post: Post
    ) -> None:
        self._client = client
        self._notices = notices
        self._webhook_url = webhook_url
        self._signing_secret = signing_secret
        self._post = post

    def hear(self, request: Request) -> Reply:
        """POST /approvals: what agentkit tells. What Slack does not take, agentkit sends again."""
        try:
            notice = self._notices.read(request.body, request.headers)
        except NotOurs:
            return Reply(401, "the signature is wrong")
        if notice is not None:
            try:
                self._post(self._webhook_url, message(notice))
            except httpx.HTTPError as error:
                return Reply(502, f"Slack: {type(error).__name__}")
            self._notices.take(notice)
        return Reply()

    def press(self, request: Request) -> Reply:
        """POST /slack: somebody pressed a button."""
        if not is_from_slack(request, self._signing_secret, now=time.time()):
            return Reply(401, "the signature is wrong")
        told = json.loads(request.form["payload"])
        if told.get("type") == "block_actions" and told["actions"][0]["action_id"] in ("approve", "reject"):
            said = self._decide(told["actions"][0], by=f"slack:{told['user'].get('username') or told['user']['id']}")
            with suppress(httpx.HTTPError):  # it is decided, whether Slack shows that or not
                self._post(told["response_url"], {"replace_original": True, "text": escaped(said)})
        return Reply()

    def _decide(self, action: Mapping[str, Any], *, by: str) -> str:
        shown = json.loads(action["value"])
        try:
            if action["action_id"] == "approve":
                resolved = self._client.interrupts.approve(shown["id"], arguments_hash=shown["hash"], by=by)
            else:
                resolved = self._client.interrupts.reject(
                    shown["id"], "rejected in Slack", arguments_hash=shown["hash"], by=by
                )
        except (AlreadyResolvedError, ConflictError) as error:
            return f"{shown['title']}: {lost(error)}"
        except AgentKitError as error:
            return f"{shown['title']}: not done: {error}"
        return f"{shown['title']}: {ended(resolved)}"


def message(notice: Notice) -> dict[str, Any]:
    """A Block Kit message. Buttons only where all of the arguments are seen."""
    if not notice.is_asking:
        return {"text": escaped(f"{notice.title}: {notice.outcome}")}
    shown = notice.arguments[:LONGEST_SHOWN] + ("" if notice.is_shown_whole else "\n... (more in the console)")
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": plain(notice.title)},
        {"type": "section", "text": plain(shown)},
    ]
    buttons = [button("approve", "Approve", notice), button("reject", "Reject", notice)] if can_decide(notice) else []
    if notice.url:
        buttons.append({"type": "button", "action_id": "look", "text": plain("Look at it"), "url": notice.url})
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": escaped(notice.title), "blocks": blocks}


def can_decide(notice: Notice) -> bool:
    return notice.is_approval and notice.is_shown_whole


def button(action: str, label: str, notice: Notice) -> dict[str, Any]:
    value = {"id": notice.interrupt.id, "hash": notice.interrupt.arguments_hash, "title": notice.title[:200]}
    style = "primary" if action == "approve" else "danger"
    return {"type": "button", "action_id": action, "style": style, "text": plain(label), "value": json.dumps(value)}


def plain(text: str) -> dict[str, Any]:
    """Text in which nothing is a link, a mention or a heading."""
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def is_from_slack(request: Request, secret: str, *, now: float) -> bool:
    """Slack's own signature: HMAC-SHA256 of `v0:timestamp:body`, not older than five minutes."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    at = headers.get("x-slack-request-timestamp", "")
    if not (at.isascii() and at.isdecimal() and abs(now - int(at)) <= OLDEST_SECONDS):
        return False
    signed = hmac.new(secret.encode(), f"v0:{at}:".encode() + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(headers.get("x-slack-signature", "").encode(), f"v0={signed}".encode())


def send(url: str, body: Mapping[str, Any]) -> None:
    httpx.post(url, json=body, timeout=10).raise_for_status()


def show(url: str, body: Mapping[str, Any]) -> None:
    print(json.dumps(body, indent=2, ensure_ascii=False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--dry-run", action="store_true", help="print the messages, send none")
    given = parser.parse_args()
    desk = SlackDesk(
        inference(base_url=os.environ.get("AGENTKIT_BASE_URL", "http://127.0.0.1:8787")),
        Notices(setting("APPROVALS")),
        webhook_url="" if given.dry_run else setting("SLACK_WEBHOOK_URL"),
        signing_secret="" if given.dry_run else setting("SLACK_SIGNING_SECRET"),
        post=show if given.dry_run else send,
    )
    routes = {("POST", "/approvals"): desk.hear}
    if not given.dry_run:
        routes["POST", "/slack"] = desk.press
    with server(routes, port=given.port) as listener:
        print(f"listening on port {listener.server_address[1]}", flush=True)
        listener.serve_forever()


if __name__ == "__main__":
    main()
