"""What an approval webhook says: checked, read, and made fit to be shown to a person."""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from agentkit import Interrupt, verify_signature
from agentkit.errors import AlreadyResolvedError, ConflictError

MOST_SEEN = 10_000
LONGEST_SHOWN = 2_500  # characters; whoever sees less than all of the arguments should not approve here
ASKING = ("interrupt.requested", "interrupt.reminded", "interrupt.escalated")


class NotOurs(Exception):
    """A request that was not signed with our secret."""


@dataclass(frozen=True)
class Notice:
    """One event about one question. `url` is where it is in the console, "" where that is not known."""

    id: str
    event: str
    interrupt: Interrupt
    url: str

    @property
    def is_asking(self) -> bool:
        return self.event in ASKING

    @property
    def is_approval(self) -> bool:
        return self.interrupt.reason == "tool_approval"

    @property
    def title(self) -> str:
        name = printable(self.interrupt.tool_name) or "a question"
        if self.interrupt.get("meta", {}).get("unknown_outcome"):
            return f"{name} may have run already: run it again?"
        return f"{name} waits for approval" if self.is_approval else f"{name} waits for an answer"

    @property
    def arguments(self) -> str:
        return printable(json.dumps(self.interrupt.arguments, indent=2, ensure_ascii=False))

    @property
    def is_shown_whole(self) -> bool:
        return len(self.arguments) <= LONGEST_SHOWN

    @property
    def outcome(self) -> str:
        """How it ended, and by whom."""
        return ended(self.interrupt)


class Notices:
    """Webhooks as they come in: each is taken once, although it may be sent several times."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._taken: OrderedDict[str, None] = OrderedDict()

    def read(self, body: bytes, headers: Mapping[str, str]) -> Notice | None:
        """The notice; None for one that was taken already. Raises NotOurs."""
        if not verify_signature(body, headers, self._secret):
            raise NotOurs
        told = json.loads(body)
        if told["id"] in self._taken:
            return None
        return Notice(told["id"], told["event"], Interrupt.parse(told["interrupt"]), told.get("url") or "")

    def take(self, notice: Notice) -> None:
        """It was passed on: should it come again, nobody is told again."""
        self._taken[notice.id] = None
        if len(self._taken) > MOST_SEEN:
            self._taken.popitem(last=False)


def setting(name: str) -> str:
    """What the environment says; ends the program where it says nothing."""
    if not (value := os.environ.get(name)):
        raise SystemExit(f"set {name} in the environment; --help tells what it is")
    return value


def printable(text: str) -> str:
    """The text with what a person would not see, or see elsewhere than it stands, made visible."""
    return "".join(each if each.isprintable() or each == "\n" else f"\\u{ord(each):04x}" for each in text)


def ended(interrupt: Interrupt) -> str:
    """How a question ended, and by whom."""
    who = interrupt.resolved_as or interrupt.resolved_by
    said = str(interrupt.decision or interrupt.status)
    return f"{said} by {printable(who)}" if who else said


def lost(error: AlreadyResolvedError | ConflictError) -> str:
    """What somebody reads whose answer did not count."""
    if isinstance(error, AlreadyResolvedError):
        winner = error.winner
        return f"it was answered already: {ended(Interrupt.parse(winner))}" if winner else "it was answered already"
    return "the call has changed since this message was sent; look at it in the console"
