"""Webhooks about questions to people: signed, in order, at least once, and nobody waits for them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import verify_signature
from agentkit.errors import ConfigError
from agentkit.runtime import webhooks
from agentkit.runtime.asking import notices
from agentkit.runtime.config import ServerConfig
from agentkit.runtime.open import open_platform
from agentkit.runtime.records import NoticeTargetRecord, WebhookRecord
from agentkit.testing import call
from agentkit.wire import Decide, RejectTool
from tests.runtime.hooks.listening import HANG, Listener, listening
from tests.runtime.playing import ANN, OWNER, Play, client_tool, playing

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PAY = client_tool("pay", approval=True)
ASK = call("pay", {"q": "ten"})
SECRET = "whsec-5d1f"
MISSED = (
    "approval webhooks: the secret 'HOOKS' is not set; nobody is told until it is: "
    "give it in `secrets=`, or run `agentkit secret set HOOKS`"
)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed attempt is made again at once."""
    monkeypatch.setattr(webhooks, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(webhooks, "PAUSE_FACTOR", 1.0)


@pytest.fixture
def receiver() -> Iterator[Listener]:
    with listening() as found:
        yield found


def gated(**approval: Any) -> dict[str, Any]:
    return {**PAY, "approval": approval}


async def asked(play: Play) -> dict[str, Any]:
    play.chat_id = None
    await play.say()
    [found] = (await play.until(lambda chat: chat["pending_interrupts"]))["pending_interrupts"]
    return found


async def reject(play: Play, interrupt: dict[str, Any], note: str = "no") -> None:
    await play.platform.approvals.reject(OWNER, interrupt["resource_id"], RejectTool(reason=note), by=ANN)


async def rows(play: Play) -> list[WebhookRecord]:
    return await play.platform._store.read(lambda tx: tx.find(WebhookRecord))


async def until(play: Play, wanted: Callable[[list[WebhookRecord]], bool]) -> list[WebhookRecord]:
    with anyio.fail_after(15):
        while not wanted(found := await rows(play)):
            await anyio.sleep(0.005)
    return found


def missed(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the platform warned of."""
    return [each.message for each in caplog.records if each.name == "agentkit.platform"]


def failing(times: int) -> Callable[[Any], int]:
    """Answers 500 so often, then 200."""
    statuses = iter([500] * times)
    return lambda payload: next(statuses, 200)


# -- what is told --------------------------------------------------------------------------------------------------


async def test_a_question_and_its_answer_are_told_and_signed(receiver: Listener) -> None:
    told = {"approval_webhooks": [receiver.url], "approval_webhook_secret": "HOOKS", "secrets": {"HOOKS": SECRET}}
    async with playing(ASK, "a pity", tools=[PAY], public_url="https://desk.example/", **told) as play:
        interrupt = await asked(play)
        await receiver.heard(1)
        await reject(play, interrupt, "too dear")
        await receiver.heard(2)
        await until(play, lambda found: not found)
        assert not [
            each for each in await play.platform._store.read(lambda tx: tx.wakes()) if "webhook" in each.chat_id
        ]
    requested, resolved = receiver.told
    assert (requested.event, resolved.event) == ("interrupt.requested", "interrupt.resolved")
    assert requested.payload["interrupt"] == interrupt
    assert requested.payload["url"] == f"https://desk.example/console/inbox?interrupt={interrupt['id']}"
    closed = resolved.payload["interrupt"]
    assert (closed["id"], closed["status"], closed["resolved_by"], closed["note"]) == (
        *(interrupt["id"], "resolved", "ann", "too dear"),
    )
    for each in receiver.told:
        assert verify_signature(each.body, each.headers, SECRET)
        assert not verify_signature(each.body, each.headers, "another")
        assert each.headers["Idempotency-Key"] == each.payload["id"]
        assert (each.headers["X-Webhook-Event"], each.headers["X-Webhook-Attempt"]) == (each.event, "1")
        assert SECRET not in str(each.headers) and set(each.payload) == {
            "id",
            "event",
            "created_at",
            "interrupt",
            "url",
        }
    assert requested.payload["id"] != resolved.payload["id"]


@pytest.mark.parametrize(
    ("policy", "event", "field"),
    [
        ({"remind": 0.05}, "interrupt.reminded", "reminders"),
        ({"approvers": ["desk"], "escalate": 0.05, "escalate_to": ["chiefs"]}, "interrupt.escalated", "is_escalated"),
    ],
    ids=["reminded", "escalated"],
)
async def test_what_happens_to_a_question_that_waits_is_told(
    receiver: Listener, policy: dict[str, Any], event: str, field: str
) -> None:
    async with playing(ASK, "a pity", tools=[gated(**policy)], approval_webhooks=[receiver.url]) as play:
        await asked(play)
        await receiver.heard(2)
    assert receiver.events[:2] == ["interrupt.requested", event]
    told = receiver.told[1].payload["interrupt"]
    assert (told["status"], bool(told[field]), told["meta"]["arguments"]) == ("pending", True, {"q": "ten"})


async def test_a_secret_that_is_not_there_is_missed_at_the_start(
    receiver: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    async with playing(ASK, approval_webhooks=[receiver.url], approval_webhook_secret="HOOKS"):
        pass
    assert missed(caplog) == [MISSED]


async def test_a_start_that_keeps_the_webhooks_of_the_one_before_misses_their_secret_as_well(
    receiver: Listener, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    kept = tmp_path / "work.db"
    told = {"approval_webhooks": [receiver.url], "approval_webhook_secret": "HOOKS"}
    async with playing(ASK, db=kept, secrets={"HOOKS": SECRET}, **told):
        assert missed(caplog) == []
    async with playing(ASK, db=kept):
        assert missed(caplog) == [MISSED]
    caplog.clear()
    async with playing(ASK, db=kept, secrets={"HOOKS": SECRET}):
        pass
    async with playing(ASK, db=kept, approval_webhooks=[]):
        pass
    assert missed(caplog) == []


async def test_a_question_that_nobody_answers_in_time_is_told_as_expired(receiver: Listener) -> None:
    async with playing(ASK, "a pity", tools=[gated(timeout=0.05)], approval_webhooks=[receiver.url]) as play:
        await play.say()
        await receiver.heard(2)
    assert receiver.events == ["interrupt.requested", "interrupt.resolved"]
    expired = receiver.told[1].payload["interrupt"]
    assert (expired["status"], expired["decision"]) == ("expired", "expired")


async def test_a_question_that_is_withdrawn_is_told_and_a_deleted_chat_leaves_no_arguments(receiver: Listener) -> None:
    async with playing(ASK, tools=[PAY], approval_webhooks=[receiver.url]) as play:
        interrupt = await asked(play)
        await receiver.heard(1)
        await play.platform.chats.delete(OWNER, interrupt["chat_id"])
        await receiver.heard(2)
    gone = receiver.told[1].payload["interrupt"]
    assert (receiver.told[1].event, gone["status"], gone["meta"]) == ("interrupt.resolved", "cancelled", {})


async def test_nothing_is_kept_where_nobody_wants_to_be_told() -> None:
    async with playing(ASK, "a pity", tools=[PAY]) as play:
        await reject(play, await asked(play))
        assert await rows(play) == []


# -- what the client's own function may answer ---------------------------------------------------------------------


async def test_nobody_is_told_of_what_a_program_answers_in_time(receiver: Listener) -> None:
    async with playing(ASK, ASK, "a pity", tools=[gated(judged=True)], approval_webhooks=[receiver.url]) as play:
        interrupt = await asked(play)
        [held] = await rows(play)
        assert (held.event, held.attempts) == ("interrupt.requested", 0)
        await play.platform.approvals.invoke(OWNER, interrupt["resource_id"], Decide(), by=ANN)
        assert await rows(play) == []
        assert receiver.told == []


async def test_a_reminder_of_what_nobody_was_told_yet_is_told_to_nobody(
    receiver: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "JUDGED_SECONDS", 3600.0)
    policy = {"judged": True, "remind": 0.05}
    async with playing(ASK, "a pity", tools=[gated(**policy)], approval_webhooks=[receiver.url]) as play:
        interrupt = await asked(play)
        with anyio.fail_after(15):
            async with aclosing(play.platform.inbox.watch(OWNER, by=ANN)) as frames:
                async for frame in frames:
                    if frame.data.get("reminders"):
                        break
        assert [each.event for each in await rows(play)] == ["interrupt.requested"]
        await reject(play, interrupt)
        assert await rows(play) == []
        assert receiver.told == []


async def test_what_a_program_leaves_open_is_told_a_little_later(
    receiver: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "JUDGED_SECONDS", 0.05)
    async with playing(ASK, "a pity", tools=[gated(judged=True)], approval_webhooks=[receiver.url]) as play:
        interrupt = await asked(play)
        await receiver.heard(1)
        await reject(play, interrupt)
        await receiver.heard(2)
    assert receiver.events == ["interrupt.requested", "interrupt.resolved"]


# -- at least once, in order ---------------------------------------------------------------------------------------


async def test_the_answer_is_told_after_the_question_however_often_that_fails() -> None:
    with listening(failing(3)) as receiver:
        async with playing(ASK, "a pity", tools=[PAY], approval_webhooks=[receiver.url]) as play:
            await reject(play, await asked(play))
            await receiver.heard(5)
            await until(play, lambda found: not found)
        assert receiver.events == ["interrupt.requested"] * 4 + ["interrupt.resolved"]
        assert [each.headers["X-Webhook-Attempt"] for each in receiver.told] == ["1", "2", "3", "4", "1"]
        assert len({each.payload["id"] for each in receiver.told[:4]}) == 1
        assert receiver.told[3].payload["interrupt"]["status"] == "pending"  # as it was


async def test_what_nobody_ever_takes_is_given_up_and_the_next_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_ATTEMPTS", 2)
    with listening(failing(2)) as receiver:
        async with playing(ASK, "a pity", tools=[PAY], approval_webhooks=[receiver.url]) as play:
            await reject(play, await asked(play))
            await receiver.heard(3)
        assert receiver.events == ["interrupt.requested"] * 2 + ["interrupt.resolved"]


async def test_a_redirect_is_not_followed() -> None:
    with listening(307) as receiver:
        async with playing(ASK, tools=[PAY], approval_webhooks=[receiver.url]) as play:
            await asked(play)
            found = await until(play, lambda found: bool(found and found[0].last_error))
            assert found[0].last_error == "HTTP 307"


async def test_what_was_not_delivered_is_delivered_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 1.0)  # one that is cut off by the end is made again after that
    answers = [500]
    with listening(lambda payload: answers[0]) as receiver:
        options: dict[str, Any] = {"db": tmp_path / "a.db", "tools": [PAY], "approval_webhooks": [receiver.url]}
        async with playing(ASK, **options) as play:
            interrupt = await asked(play)
            await until(play, lambda found: bool(found and found[0].last_error))
        answers[0] = 200
        async with playing(**options) as play:
            await until(play, lambda found: not found)
        assert receiver.told[-1].payload["interrupt"] == interrupt


async def test_a_receiver_that_hangs_or_is_gone_holds_up_neither_chats_nor_others(receiver: Listener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    with listening(HANG) as hanging:
        urls = [hanging.url, dead, receiver.url]
        async with playing(ASK, "a pity", tools=[PAY], approval_webhooks=urls) as play:
            interrupt = await asked(play)
            await hanging.heard(1)
            await reject(play, interrupt)
            await play.idle()
            await receiver.heard(2)
            hanging.released.set()
    assert receiver.events == ["interrupt.requested", "interrupt.resolved"]


async def test_a_receiver_that_takes_nothing_keeps_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "MOST_BEHIND", 3)
    monkeypatch.setattr(webhooks, "FIRST_PAUSE_SECONDS", 60.0)
    with listening(500) as receiver:
        steps = [call("pay", {"q": str(number)}) for number in range(6)]
        async with playing(*steps, tools=[PAY], approval_webhooks=[receiver.url]) as play:
            interrupts = [await asked(play) for _ in range(6)]
            assert [each.interrupt_id for each in await rows(play)] == [each["id"] for each in interrupts[3:]]


# -- secrets and settings ------------------------------------------------------------------------------------------


async def test_without_its_secret_nothing_is_sent_until_it_is_set(receiver: Listener) -> None:
    options = {"approval_webhooks": [receiver.url], "approval_webhook_secret": "HOOKS"}
    async with playing(ASK, tools=[PAY], **options) as play:
        await asked(play)
        found = await until(play, lambda found: bool(found and found[0].last_error))
        assert found[0].last_error == "the secret 'HOOKS' is not set"
        assert receiver.told == []


async def test_who_is_named_no_longer_is_told_no_longer(tmp_path: Path) -> None:
    with listening(500) as old, listening() as new:
        options: dict[str, Any] = {"db": tmp_path / "a.db", "tools": [PAY]}
        async with playing(ASK, approval_webhooks=[old.url], **options) as play:
            interrupt = await asked(play)
            await until(play, lambda found: bool(found and found[0].last_error))
        before = len(old.told)
        async with playing("a pity", approval_webhooks=[new.url], **options) as play:
            assert await rows(play) == []
            await reject(play, interrupt)
            await new.heard(1)
            targets = await play.platform._store.read(lambda tx: tx.find(NoticeTargetRecord))
            assert [each.url for each in targets] == [new.url]
        assert (new.events, len(old.told)) == (["interrupt.resolved"], before)


def test_the_settings_of_a_server_name_urls_and_the_secret() -> None:
    environ = {
        "AGENTKIT_APPROVAL_WEBHOOKS": "https://a.example/x, http://127.0.0.1:9/y?token=t",
        "AGENTKIT_APPROVAL_WEBHOOK_SECRET": "HOOKS",
    }
    config = ServerConfig.resolve(environ=environ)
    assert config.approval_webhooks == ("https://a.example/x", "http://127.0.0.1:9/y?token=t")
    assert config.approval_webhook_secret == "HOOKS" and "token" not in repr(config)


@pytest.mark.parametrize("url", ["a.example/hook?token=t", "ftp://a.example/t", "https://", "https://me:t@a.example/"])
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"approval webhook 1 .*--approval-webhook") as refused:
        ServerConfig.resolve(environ={}, approval_webhooks=[url])
    with pytest.raises(ConfigError, match="approval webhook 1") as opened:
        open_platform(approval_webhooks=[url], environ={})
    assert not {url, "token=t"} & set(f"{refused.value} {opened.value}".split())
