"""A call is made once, whatever became of the client: the journal, `idempotent`, `reconcile`, and a person."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit import NOT_DONE, FileRef, Journal, ToolContext, integer, tool
from agentkit.client.journal import Entry, JournalError
from agentkit.errors import ConflictError, ToolDefinitionError
from agentkit.protocol.events import ToolStarted
from agentkit.testing import call
from tests.client.conftest import Home
from tests.client.ways import Desk, follow, play

PAY = call("pay", {"amount": 5})
WAYS = ["memory-sync", "memory-asyncio", "memory-trio", "socket-sync"]

pytestmark = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


def pay(paid: list[Any]) -> Any:
    def handle(args: dict[str, Any], ctx: ToolContext) -> str:
        paid.append((args["amount"], ctx.idempotency_key))
        return f"paid {args['amount']}"

    return tool("pay").describe("Pays").param("amount", integer("How much")).handler(handle)


def left_by_the_dead(
    place: Desk, path: Path, note: Callable[[Journal, str], object] = lambda journal, id_: None
) -> str:
    """A chat whose call a program began and did not answer before it died; `note` is what it still wrote down."""
    first = place.agent(pay([]).build())
    assert play(first, when_parked="return").end.outcome == "parked"
    (waiting,) = [each for message in first.get_chat().chat_messages for each in message.tool_invocations or ()]
    journal = Journal(path)
    journal.claim(waiting.id, waiting.attempt, tool="pay", key="the first key")
    note(journal, waiting.id)
    journal.release(waiting.id, waiting.attempt)
    journal.close()
    return str(first.chat_id)


def taken_up(place: Desk, chat_id: str, made: Any, path: Path) -> Any:
    return place.client.agents.resume(chat_id, tools=[made], journal=str(path))


def told_to_the_model(place: Desk) -> str:
    return next(text for role, text in reversed(place.last_request()) if role == "tool")


def test_a_result_that_was_not_posted_is_posted_and_the_handler_does_not_run(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    chat_id = left_by_the_dead(place, path, lambda journal, id_: journal.finish(id_, 1, Entry("paid already")))
    assert taken_up(place, chat_id, pay(paid), path).resume().result().text == "Done."
    assert (paid, told_to_the_model(place)) == ([], "paid already")


def test_a_result_that_was_an_error_is_posted_as_one(home: Home, way: str, path: Path) -> None:
    place = home(PAY, "Done.")
    entry = Entry('{"error": "no money"}', failed=True)
    chat_id = left_by_the_dead(place, path, lambda journal, id_: journal.finish(id_, 1, entry))
    taken_up(place, chat_id, pay([]), path).resume().result()
    (made,) = [
        each
        for message in place.client.agents.resume(chat_id).get_chat().chat_messages
        for each in message.tool_invocations or ()
    ]
    assert (made.status, told_to_the_model(place)) == ("failed", '{"error": "no money"}')


def test_the_files_of_a_result_are_posted_with_it(home: Home, way: str, path: Path) -> None:
    place = home(PAY, "Done.")
    file = place.client.files.upload(b"receipt")
    entry = Entry("paid", files=[FileRef(id=file.id, uri=file.uri)])
    chat_id = left_by_the_dead(place, path, lambda journal, id_: journal.finish(id_, 1, entry))
    agent = taken_up(place, chat_id, pay([]), path)
    agent.resume().result()
    (made,) = [each for message in agent.get_chat().chat_messages for each in message.tool_invocations or ()]
    assert [each.uri for each in made.attachments or ()] == [file.uri]


def test_nobody_knows_so_a_person_is_asked_and_says_run_it(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    agent = taken_up(place, left_by_the_dead(place, path), pay(paid), path)
    result = agent.resume(when_parked="return").result()
    assert (result.outcome, paid) == ("parked", [])
    (asked,) = result.pending
    assert asked.meta["unknown_outcome"] is True and "ended before it had a result" in asked.meta["why"]
    with pytest.raises(ConflictError, match="may have run already"):
        agent.approve(asked.resource_id)  # an earlier yes, sent again, must not run it twice
    agent.approve(asked.resource_id, arguments_hash=asked.arguments_hash)
    assert agent.resume().result().text == "Done."
    assert [amount for amount, _ in paid] == [5]


def test_nobody_knows_so_a_person_is_asked_and_says_what_came_of_it(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    agent = taken_up(place, left_by_the_dead(place, path), pay(paid), path)
    (asked,) = agent.resume(when_parked="return").result().pending
    agent.answer(asked.resource_id, "the bank says it was paid")
    assert agent.resume().result().text == "Done."
    assert (paid, told_to_the_model(place)) == ([], "the bank says it was paid")


def test_nobody_knows_so_a_person_is_asked_and_says_leave_it(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    agent = taken_up(place, left_by_the_dead(place, path), pay(paid), path)
    (asked,) = agent.resume(when_parked="return").result().pending
    agent.reject(asked.resource_id, "not again")
    assert agent.resume().result().text == "Done."
    assert paid == [] and "unknown" in told_to_the_model(place)


def test_an_idempotent_tool_runs_again_with_nobody_asked(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    agent = taken_up(place, left_by_the_dead(place, path), pay(paid).idempotent(), path)
    assert agent.resume().result().text == "Done."
    assert [amount for amount, _ in paid] == [5]


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_reconcile_finds_the_result_by_the_first_key(home: Home, way: str, path: Path, is_async: bool) -> None:
    paid: list[Any] = []
    keys: list[str] = []

    def find(args: dict[str, Any], ctx: ToolContext) -> str:
        keys.append(ctx.idempotency_key)
        return f"found {args['amount']}"

    async def find_slowly(args: dict[str, Any], ctx: ToolContext) -> str:
        return find(args, ctx)

    place = home(PAY, "Done.")
    made = pay(paid).reconcile(find_slowly if is_async else find)
    agent = taken_up(place, left_by_the_dead(place, path), made, path)
    assert agent.resume().result().text == "Done."
    assert (paid, keys, told_to_the_model(place)) == ([], ["the first key"], "found 5")


def test_reconcile_that_says_not_done_lets_the_handler_run(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    agent = taken_up(place, left_by_the_dead(place, path), pay(paid).reconcile(lambda args: NOT_DONE), path)
    assert agent.resume().result().text == "Done."
    assert [amount for amount, _ in paid] == [5]


def test_reconcile_that_fails_asks_a_person_and_says_why(home: Home, way: str, path: Path) -> None:
    def find(args: dict[str, Any]) -> str:
        raise ConnectionError("the bank does not answer")

    paid: list[Any] = []
    place = home(PAY, "Done.")
    agent = taken_up(place, left_by_the_dead(place, path), pay(paid).reconcile(find), path)
    (asked,) = agent.resume(when_parked="return").result().pending
    assert paid == [] and "the bank does not answer" in asked.meta["why"]


def test_a_call_that_another_program_runs_just_now_is_left_to_it(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    first = place.agent(pay([]).build())
    play(first, when_parked="return")
    (waiting,) = [each for message in first.get_chat().chat_messages for each in message.tool_invocations or ()]
    other = Journal(path)
    other.claim(waiting.id, waiting.attempt, tool="pay", key="k")
    agent = taken_up(place, first.chat_id, pay(paid), path)
    assert agent.resume(when_parked="return").result().outcome == "parked"
    other.finish(waiting.id, waiting.attempt, Entry("paid by the other one"))
    other.release(waiting.id, waiting.attempt)
    other.close()
    assert agent.resume().result().text == "Done."
    assert (paid, told_to_the_model(place)) == ([], "paid by the other one")


@pytest.mark.parametrize("ends", ["finished", "gone"])
def test_a_turn_that_waits_takes_up_what_another_program_ran(home: Home, way: str, path: Path, ends: str) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    first = place.agent(pay([]).build())
    play(first, when_parked="return")
    (waiting,) = [each for message in first.get_chat().chat_messages for each in message.tool_invocations or ()]
    other = Journal(path)
    other.claim(waiting.id, waiting.attempt, tool="pay", key="k")

    def end(event: Any) -> None:
        if isinstance(event, ToolStarted):
            if ends == "finished":
                other.finish(waiting.id, waiting.attempt, Entry("paid by the other one"))
            other.release(waiting.id, waiting.attempt)
            other.close()

    with taken_up(place, first.chat_id, pay(paid).idempotent(), path).resume() as turn:
        assert follow(turn, then=end).result.text == "Done."
    assert (paid == []) is (ends == "finished")
    assert told_to_the_model(place) == ("paid by the other one" if ends == "finished" else "paid 5")


def test_a_handler_that_goes_on_although_its_turn_was_left_answers_the_next_turn(
    home: Home, way: str, path: Path
) -> None:
    paid: list[Any] = []
    may_pay = threading.Event()

    def slow(args: dict[str, Any]) -> str:
        assert may_pay.wait(30)
        paid.append(args["amount"])
        return "paid"

    place = home(PAY, "Done.")
    agent = place.agent(tool("pay").describe("Pays").param("amount", integer("How much")).handler(slow))
    with agent.stream("go") as turn:
        for event in turn:
            if isinstance(event, ToolStarted):
                break
    with agent.resume() as turn:
        told = follow(turn, then=lambda event: may_pay.set() if isinstance(event, ToolStarted) else None)
    assert (told.result.text, paid) == ("Done.", [5])


def test_a_reconcile_that_takes_too_long_asks_a_person_and_no_handler_runs(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    may_answer = threading.Event()

    def find(args: dict[str, Any]) -> Any:
        may_answer.wait(30)
        return NOT_DONE

    place = home(PAY, "Done.")
    made = pay(paid).reconcile(find).timeout(0.2)
    agent = taken_up(place, left_by_the_dead(place, path), made, path)
    (asked,) = agent.resume(when_parked="return").result().pending
    may_answer.set()
    assert asked.meta["unknown_outcome"] is True and "longer than 0.2 s" in asked.meta["why"]
    agent.reject(asked.resource_id)
    assert agent.resume().result().text == "Done."
    assert paid == []


def test_a_result_that_the_journal_has_and_cannot_give_is_no_failure(
    home: Home, way: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(self: Journal, id_: str, attempt: int) -> Entry:
        raise JournalError("the journal is locked")

    paid: list[Any] = []
    place = home(PAY, "Done.")
    chat_id = left_by_the_dead(place, path, lambda journal, id_: journal.finish(id_, 1, Entry("paid already")))
    agent = taken_up(place, chat_id, pay(paid), path)
    monkeypatch.setattr(Journal, "entry", locked)
    (asked,) = agent.resume(when_parked="return").result().pending
    assert paid == [] and "the journal is locked" in asked.meta["why"]


def test_a_journal_that_cannot_be_written_is_said_before_anything_is_sent(home: Home, way: str, path: Path) -> None:
    path.write_text("a file, and no folder")
    place = home("Hello.")
    config = {"core_app": {"ref": "scripted/model"}, "tools": [pay([])]}
    agent = place.client.agent(config, journal=str(path / "calls.db"))
    with pytest.raises(JournalError, match=r"calls\.db"):
        agent.run("go")
    assert place.model.requests == []


def test_a_call_leaves_its_result_in_the_journal_and_that_it_was_posted(home: Home, way: str, path: Path) -> None:
    paid: list[Any] = []
    place = home(PAY, "Done.")
    agent = place.client.agent({"core_app": {"ref": "scripted/model"}, "tools": [pay(paid)]}, journal=str(path))
    play(agent)
    (made,) = [each for message in agent.get_chat().chat_messages for each in message.tool_invocations or ()]
    journal = Journal(path)
    entry = journal.entry(made.id, made.attempt)
    assert entry is not None and entry.result == "paid 5"
    assert not journal.is_unposted(made.id, made.attempt)
    assert journal.key(made.id, made.attempt) == paid[0][1]
    journal.close()


def test_a_reconcile_that_cannot_be_called_is_refused_when_it_is_given(way: str) -> None:
    with pytest.raises(ToolDefinitionError, match="reconcile"):
        pay([]).reconcile(lambda one, other: None)


def test_a_decorated_function_has_its_reconcile_beside_it(home: Home, way: str, path: Path) -> None:
    paid: list[int] = []

    @tool(reconcile=lambda args: f"found {args['amount']}")
    def pay(amount: int) -> str:
        """Pays."""
        paid.append(amount)
        return "paid"

    place = home(PAY, "Done.")
    assert taken_up(place, left_by_the_dead(place, path), pay, path).resume().result().text == "Done."
    assert (paid, told_to_the_model(place)) == ([], "found 5")
