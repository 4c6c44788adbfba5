"""Who hears of questions: the owner's inbox by its log, and those who want webhooks. Transaction functions.

What is kept of a question here has neither arguments nor answers: they are read from its row when it is told, so that
nothing of a deleted chat stays behind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from agentkit.runtime import dto
from agentkit.runtime.asking.policies import policy_of
from agentkit.runtime.ids import new_id
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import ChatRecord, InterruptRecord, NoticeTargetRecord, WebhookRecord
from agentkit.wire import InterruptReason, InterruptStatus

__all__ = [
    "ESCALATED",
    "REMINDED",
    "REQUESTED",
    "RESOLVED",
    "asked",
    "changed",
    "configure",
    "kept",
    "log_of",
    "next_of",
    "shown",
]

logger = logging.getLogger("agentkit.notices")

REQUESTED, REMINDED, ESCALATED, RESOLVED = (
    f"interrupt.{each}" for each in ("requested", "reminded", "escalated", "resolved")
)
KEPT_EVENTS: Final = 1_000  # of an owner's log, at least
PRUNED_EVERY: Final = 100
JUDGED_SECONDS: Final = 5.0  # a program may answer so long before a person is told
MOST_BEHIND: Final = 1_000  # a delivery that so many later ones of its URL have passed is given up
_PRIVATE: Final = ("meta", "note", "edited_from", "resolved_data", "answer_schema")
_ANSWERS: Final = {"note": "", "edited_from": None, "resolved_data": None}


def log_of(owner: str) -> str:
    """What the owner's log is called among those of chats."""
    return f"inbox:{owner}"


def asked(tx: Writing, chat: ChatRecord, interrupt: InterruptRecord) -> None:
    """A question was opened."""
    _log(tx, interrupt)
    seconds = JUDGED_SECONDS if _is_judged(chat, interrupt) else 0.0
    for target in tx.find(NoticeTargetRecord):
        _deliver(tx, target, interrupt, REQUESTED, seconds=seconds)


def changed(tx: Writing, before: InterruptRecord, now: InterruptRecord) -> None:
    """A question is another than it was."""
    _log(tx, now)
    event = _event(before, now)
    if event is None:
        return
    for target in tx.find(NoticeTargetRecord):
        if not _is_held(tx, target, now, event):
            _deliver(tx, target, now, event)


def kept(interrupt: InterruptRecord) -> dict[str, Any]:
    """What is kept of the question as it is now: `shown` makes it whole."""
    told = {name: value for name, value in dto.interrupt(interrupt).items() if name not in _PRIVATE}
    return {"version": interrupt.version, "interrupt": told}


def shown(entry: Mapping[str, Any], record: InterruptRecord | None) -> dict[str, Any]:
    """The question as it was when this was kept. One whose row is gone has neither arguments nor answers."""
    told: Mapping[str, Any] = entry["interrupt"]
    if record is None:
        return {**told, "meta": {}, "answer_schema": None, **_ANSWERS}
    now = dto.interrupt(record)
    if record.version == entry["version"]:
        return now
    answers = _ANSWERS if told["status"] == InterruptStatus.PENDING else {}
    return {**now, **told, **answers}


def configure(tx: Writing, targets: Mapping[str, str]) -> None:
    """Makes these the URLs that are told, with the names of their secrets; what is left for others is dropped."""
    known = {each.url: each for each in tx.find(NoticeTargetRecord)}
    for url, target in known.items():
        if url not in targets:
            for delivery in tx.find(WebhookRecord, target_id=target.id):
                tx.clear_wake(delivery.wake_key)
                tx.delete(delivery)
            tx.delete(target)
        elif target.secret != targets[url]:
            tx.update(target.but(secret=targets[url]))
    for url, secret in targets.items():
        if url not in known:
            tx.insert(NoticeTargetRecord(id=new_id(), url=url, secret=secret))


def next_of(tx: Reading, delivery: WebhookRecord) -> WebhookRecord | None:
    """The oldest delivery about the same question to the same URL: they are made one after the other."""
    return _first(tx, interrupt_id=delivery.interrupt_id, target_id=delivery.target_id)


# -- parts ---------------------------------------------------------------------------------------------------------


def _log(tx: Writing, interrupt: InterruptRecord) -> None:
    log = log_of(interrupt.owner)
    last = tx.append(log, "interrupts", kept(interrupt))
    if last % PRUNED_EVERY == 0:
        tx.prune_events(log, keep_from=last - KEPT_EVENTS + 1)


def _event(before: InterruptRecord, now: InterruptRecord) -> str | None:
    """What webhooks are told of this change."""
    if before.status is InterruptStatus.PENDING and now.status is not InterruptStatus.PENDING:
        return RESOLVED
    if now.is_escalated and not before.is_escalated:
        return ESCALATED
    return REMINDED if now.reminders > before.reminders else None


def _first(tx: Reading, *, interrupt_id: str, target_id: str) -> WebhookRecord | None:
    found = tx.find(WebhookRecord, interrupt_id=interrupt_id, target_id=target_id, limit=1)
    return found[0] if found else None


def _deliver(
    tx: Writing, target: NoticeTargetRecord, interrupt: InterruptRecord, event: str, *, seconds: float = 0.0
) -> None:
    is_first = _first(tx, interrupt_id=interrupt.id, target_id=target.id) is None
    delivery = tx.insert(
        WebhookRecord(
            id=new_id(),
            owner=interrupt.owner,
            url=target.url,
            interrupt_id=interrupt.id,
            target_id=target.id,
            event=event,
            position=target.deliveries,
            is_held=seconds > 0,
            entry=kept(interrupt),
        )
    )
    tx.update(target.but(deliveries=target.deliveries + 1))
    if is_first:
        tx.wake(delivery.wake_key, at=later(tx.now, seconds) if seconds else None)
    _drop_left_behind(tx, target)


def _drop_left_behind(tx: Writing, target: NoticeTargetRecord) -> None:
    """Keeps the rows of a URL that takes nothing from growing without end."""
    for oldest in tx.find(WebhookRecord, target_id=target.id, limit=1):
        if oldest.position > target.deliveries - MOST_BEHIND:
            continue
        logger.warning("%s of interrupt %s: given up, %d came after it", oldest.event, oldest.interrupt_id, MOST_BEHIND)
        tx.clear_wake(oldest.wake_key)
        tx.delete(oldest)
        if (following := next_of(tx, oldest)) is not None:
            tx.wake(following.wake_key)


def _is_held(tx: Writing, target: NoticeTargetRecord, interrupt: InterruptRecord, event: str) -> bool:
    """Whether nobody was told of the question yet: they hear of nothing else before, and once it is answered never."""
    waiting = _first(tx, interrupt_id=interrupt.id, target_id=target.id)
    if waiting is None or not waiting.is_held or waiting.attempts > 0:
        return False
    if event == RESOLVED:
        tx.clear_wake(waiting.wake_key)
        tx.delete(waiting)
    return True


def _is_judged(chat: ChatRecord, interrupt: InterruptRecord) -> bool:
    """Whether the client that drives the turn may answer by itself."""
    if interrupt.reason is not InterruptReason.TOOL_APPROVAL or interrupt.meta.get("unknown_outcome"):
        return False
    tool = next((each for each in chat.agent.tools or () if each.name == interrupt.tool_name), None)
    return policy_of(chat.agent, tool).judged
