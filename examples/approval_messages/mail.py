"""Approvals by mail: a message with two links for each call that waits. A link shows a page, and the page decides.

    agentkit serve --approval-webhook http://127.0.0.1:8791/approvals --approval-webhook-secret APPROVALS ...
    python -m examples.approval_messages.mail --port 8791 --to ann@example.org --url https://approve.example.org

It takes AGENTKIT_BASE_URL, APPROVALS (the secret that the webhooks are signed with), INFERENCE_API_KEY (a key with
`approvals:write`, in the groups that may answer), LINK_SECRET (what links are signed with) and SMTP_URL
(`smtp://name:password@host:587`, `smtps://` for TLS from the start) from the environment.
"""

import argparse
import hashlib
import hmac
import json
import os
import smtplib
import ssl
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from html import escape
from urllib.parse import unquote, urlsplit

from agentkit import Inference, inference
from agentkit.errors import AgentKitError, AlreadyResolvedError, ConflictError
from examples.approval_messages.notice import LONGEST_SHOWN, Notice, Notices, NotOurs, ended, lost, setting
from examples.approval_messages.web import Reply, Request, server

LINK_SECONDS = 7 * 86_400
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Approval</title><h1>{title}</h1>{content}</html>"""
FORM = """<form method="post" action="decide"><input type="hidden" name="token" value="{token}">
<p><label>Note <input name="note" maxlength="500"></label></p><button>{decision}</button></form>"""
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Link:
    """What one link decides: this call with these arguments, once, for it is then answered. `until` in Unix seconds."""

    interrupt_id: str
    arguments_hash: str
    decision: str
    address: str
    title: str
    until: int

    def token(self, secret: str) -> str:
        told = urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()
        return f"{told}.{_mac(told, secret)}"

    @classmethod
    def read(cls, token: str, secret: str, *, now: float) -> "Link | None":
        """The link that this is the token of; None for one that was made elsewhere, or is too old."""
        told, _, mac = token.partition(".")
        if not hmac.compare_digest(mac.encode(), _mac(told, secret).encode()):
            return None
        link = cls(**json.loads(urlsafe_b64decode(told)))
        return link if now <= link.until else None


def _mac(told: str, secret: str) -> str:
    return hmac.new(secret.encode(), told.encode(), hashlib.sha256).hexdigest()


class MailDesk:
    """Between the webhooks of agentkit and people's mail. `url` is where they reach this desk; `send` sends a mail."""

    def __init__(
        self,
        client: Inference,
        notices: Notices,
        *,
        to: Sequence[str],
        sender: str,
        url: str,
        secret: str,
        send: Callable[[EmailMessage], None],
    ) -> None:
        self._client = client
        self._notices = notices
        self._to = to
        self._sender = sender
        self._url = url.rstrip("/")
        self._secret = secret
        self._send = send

    def hear(self, request: Request) -> Reply:
        """POST /approvals: what agentkit tells. What the mail server does not take, agentkit sends again."""
        try:
            notice = self._notices.read(request.body, request.headers)
        except NotOurs:
            return Reply(401, "the signature is wrong")
        if notice is not None:
            try:
                for address in self._to if notice.is_asking else ():
                    self._send(self._mail(notice, address))
            except (OSError, smtplib.SMTPException) as error:
                return Reply(502, f"mail: {type(error).__name__}")
            self._notices.take(notice)
        return Reply()

    def look(self, request: Request) -> Reply:
        """GET /decide: a page with a button. It decides nothing: mail programs open links before people do."""
        link = self._link(request.query.get("token", ""))
        if link is None:
            return page("This link is not valid", "It may be too old.", status=403)
        form = FORM.format(token=escape(link.token(self._secret)), decision=escape(link.decision.capitalize()))
        return page(link.title, form, is_html=True)

    def decide(self, request: Request) -> Reply:
        """POST /decide: the button."""
        form = request.form
        link = self._link(form.get("token", ""))
        if link is None:
            return page("This link is not valid", "It may be too old.", status=403)
        note = form.get("note", "")[:500]
        try:
            if link.decision == "approve":
                resolved = self._client.interrupts.approve(
                    link.interrupt_id, note=note, arguments_hash=link.arguments_hash, by=link.address
                )
            else:
                resolved = self._client.interrupts.reject(
                    link.interrupt_id, note, arguments_hash=link.arguments_hash, by=link.address
                )
        except (AlreadyResolvedError, ConflictError) as error:
            return page(link.title, lost(error), status=409)
        except AgentKitError as error:
            return page(link.title, f"It was not done: {error}", status=502)
        return page(link.title, ended(resolved))

    def _link(self, token: str) -> Link | None:
        return Link.read(token, self._secret, now=time.time())

    def _mail(self, notice: Notice, address: str) -> EmailMessage:
        lines = [notice.title, "", notice.arguments[:LONGEST_SHOWN], ""]
        if notice.is_approval and notice.is_shown_whole:
            lines += [f"{each.capitalize()}: {self._address(notice, each, address)}" for each in ("approve", "reject")]
        else:
            lines.append("It can be answered in the console.")
        if notice.url:
            lines.append(f"Console: {notice.url}")
        mail = EmailMessage()
        mail["Subject"] = " ".join(notice.title.split())[:200]
        mail["From"], mail["To"] = self._sender, address
        mail.set_content("\n".join(lines))
        return mail

    def _address(self, notice: Notice, decision: str, address: str) -> str:
        until = int(time.time()) + LINK_SECONDS
        asked = notice.interrupt
        link = Link(asked.id, asked.arguments_hash, decision, address, notice.title, until)
        return f"{self._url}/decide?token={link.token(self._secret)}"


def page(title: str, content: str, *, status: int = 200, is_html: bool = False) -> Reply:
    said = content if is_html else f"<p>{escape(content)}</p>"
    return Reply(status, PAGE.format(title=escape(title), content=said), HEADERS)


def mailer(url: str) -> Callable[[EmailMessage], None]:
    """Sends through the server of an SMTP URL: encrypted where it offers that, and always where a password is sent."""
    parts = urlsplit(url)
    host, context = parts.hostname or "localhost", ssl.create_default_context()

    def send(mail: EmailMessage) -> None:
        is_tls = parts.scheme == "smtps"
        connect = smtplib.SMTP_SSL(host, parts.port or 465, timeout=10, context=context) if is_tls else None
        with connect or smtplib.SMTP(host, parts.port or 25, timeout=10) as smtp:
            smtp.ehlo()
            if not is_tls and (parts.password or smtp.has_extn("starttls")):
                smtp.starttls(context=context)
            if parts.username:
                smtp.login(unquote(parts.username), unquote(parts.password or ""))
            smtp.send_message(mail)

    return send


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8791)
    parser.add_argument("--to", action="append", required=True, help="who is asked; several times for several people")
    parser.add_argument("--sender", default="approvals@localhost")
    parser.add_argument("--url", required=True, help="where they reach this desk, https in earnest")
    given = parser.parse_args()
    desk = MailDesk(
        inference(base_url=os.environ.get("AGENTKIT_BASE_URL", "http://127.0.0.1:8787")),
        Notices(setting("APPROVALS")),
        to=given.to,
        sender=given.sender,
        url=given.url,
        secret=setting("LINK_SECRET"),
        send=mailer(setting("SMTP_URL")),
    )
    routes = {("POST", "/approvals"): desk.hear, ("GET", "/decide"): desk.look, ("POST", "/decide"): desk.decide}
    with server(routes, port=given.port) as listener:
        print(f"listening on port {listener.server_address[1]}", flush=True)
        listener.serve_forever()


if __name__ == "__main__":
    main()
