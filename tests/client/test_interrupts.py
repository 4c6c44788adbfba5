"""`client.interrupts`: the inbox, its stream, and the answers; and what `agent.approve` and its kin can say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agentkit import AlreadyResolvedError, Always, integer, string, tool
from agentkit.errors import APIError, AuthenticationError, ConflictError, NotFoundError, UsageError
from agentkit.testing import call
from tests.client.conftest import Home
from tests.client.hostile import Hostile
from tests.client.tasking import Platform, meeting, problem
from tests.client.ways import Desk, play

PAY = call("pay", {"to": "Ann", "amount": 5})


def payment(paid: list[Any]) -> Any:
    built = tool("pay").describe("Pays").param("to", string("Whom")).param("amount", integer("How much"))
    return built.require_approval().handler(lambda args: paid.append(args["amount"]) or f"paid {args['amount']}")


def parked(place: Desk, paid: list[Any]) -> Any:
    """An agent whose call waits for a person."""
    agent = place.agent(payment(paid))
    assert play(agent, when_parked="return").end.outcome == "parked"
    return agent


def told_to_the_model(place: Desk) -> str:
    return next(text for role, text in reversed(place.last_request()) if role == "tool")


def test_what_waits_is_listed_and_found_and_filtered(home: Home) -> None:
    place = home(PAY, "Paid.")
    agent = parked(place, [])
    inbox = place.client.interrupts
    (asked,) = inbox.list().items
    assert (asked.tool_name, asked.arguments, asked.chat_id) == ("pay", {"to": "Ann", "amount": 5}, agent.chat_id)
    assert [each.id for each in inbox.list(reason="tool_approval", chat_id=agent.chat_id, mine=True).items] == [
        asked.id
    ]
    assert inbox.list(tool="ship").items == inbox.list(status="resolved").items == []
    found = inbox.get(asked.id)
    assert found.context is not None and found.context.description == "Pays"
    with pytest.raises(NotFoundError):
        inbox.get("nothing-of-that-name")
    with pytest.raises(APIError, match="status"):
        inbox.list(status="whatever")


def test_an_approval_of_what_was_shown_runs_the_call_and_says_who_gave_it(home: Home) -> None:
    paid: list[Any] = []
    place = home(PAY, "Paid.")
    agent = parked(place, paid)
    (asked,) = place.client.interrupts.list().items
    with pytest.raises(ConflictError):
        place.client.interrupts.approve(asked.id, arguments_hash="of something else")
    answered = place.client.interrupts.approve(asked.id, note="fine", by="Bob", arguments_hash=asked.arguments_hash)
    assert (answered.decision, answered.note, answered.resolved_as) == ("approved", "fine", "Bob")
    assert (agent.resume().result().text, paid) == ("Paid.", [5])
    with pytest.raises(AlreadyResolvedError) as late:
        place.client.interrupts.reject(asked.id, "too late")
    assert late.value.winner["decision"] == "approved"


def test_an_approval_with_other_arguments_is_an_edit(home: Home) -> None:
    paid: list[Any] = []
    place = home(PAY, "Paid.")
    agent = parked(place, paid)
    (asked,) = place.client.interrupts.list().items
    answered = place.client.interrupts.approve(asked.id, {"to": "Ann", "amount": 3})
    assert (answered.decision, answered.edited_from) == ("edited", {"to": "Ann", "amount": 5})
    agent.resume().result()
    assert paid == [3]


@pytest.mark.parametrize("data", ["paid by hand", {"paid": 5}], ids=["text", "json"])
def test_an_answer_in_the_tools_place_is_its_result(home: Home, data: Any) -> None:
    paid: list[Any] = []
    place = home(PAY, "Paid.")
    agent = parked(place, paid)
    (asked,) = place.client.interrupts.list().items
    assert place.client.interrupts.respond(asked.id, data, by="Bob").decision == "responded"
    agent.resume().result()
    assert paid == []
    assert told_to_the_model(place) in ("paid by hand", '{"paid":5}', '{"paid": 5}')


def test_a_rejection_is_read_by_the_model(home: Home) -> None:
    place = home(PAY, "I did not.")
    agent = parked(place, [])
    (asked,) = place.client.interrupts.iterate()
    assert place.client.interrupts.resolve(asked.id, "deny", note="we owe her nothing").decision == "rejected"
    agent.resume().result()
    assert "we owe her nothing" in told_to_the_model(place)


@pytest.mark.parametrize("always", [True, Always(scope="tool"), {"scope": "tool"}], ids=["true", "model", "dict"])
def test_always_lets_later_calls_through(home: Home, always: Any) -> None:
    paid: list[Any] = []
    place = home(PAY, call("pay", {"to": "Bob", "amount": 7}), "Paid.")
    agent = parked(place, paid)
    (asked,) = place.client.interrupts.list().items
    place.client.interrupts.approve(asked.id, always=always)
    assert (agent.resume(when_parked="return").result().text, paid) == ("Paid.", [5, 7])


def test_always_for_the_same_arguments_asks_about_others(home: Home) -> None:
    paid: list[Any] = []
    place = home(PAY, PAY, call("pay", {"to": "Bob", "amount": 7}), "Paid.")
    agent = parked(place, paid)
    (asked,) = agent.pending()
    agent.approve(asked.resource_id, always=Always(scope="exact"), by="Bob", arguments_hash=asked.arguments_hash)
    assert agent.resume(when_parked="return").result().outcome == "parked"
    assert paid == [5, 5]


def test_what_is_no_rule_is_refused_before_anything_is_sent(home: Home) -> None:
    place = home(PAY)
    with pytest.raises(UsageError, match="always"):
        place.client.interrupts.approve("q1", always={"seconds": "soon"})


def test_agent_answer_is_the_result_and_says_when_nothing_is_asked(home: Home) -> None:
    paid: list[Any] = []
    place = home(PAY, "Paid.")
    agent = parked(place, paid)
    (asked,) = agent.pending()
    agent.answer(asked.resource_id, "paid by hand", by="Bob")
    agent.resume().result()
    assert (paid, told_to_the_model(place)) == ([], "paid by hand")
    with pytest.raises(UsageError, match=r"agent\.pending"):
        agent.answer(asked.resource_id, "again")


# -- the stream ----------------------------------------------------------------------------------------------------


def test_the_stream_tells_what_waits_then_every_change_and_goes_on_from_its_cursor(home: Home) -> None:
    place = home(PAY, PAY, "Paid.")
    agent = parked(place, [])
    with place.client.interrupts.stream() as stream:
        asked = next(stream)
        assert (asked.status, asked.tool_name) == ("pending", "pay")
        place.client.interrupts.approve(asked.id)
        answered = next(stream)
        assert (answered.id, answered.decision) == (asked.id, "approved")
        cursor = stream.cursor
    agent.resume(when_parked="return").result()
    with place.client.interrupts.stream(after=cursor) as later:
        second = next(later)
        assert second.id != asked.id and second.status == "pending"


@pytest.mark.parametrize("way", ["memory-sync", "socket-sync"])
def test_a_stream_that_waits_is_closed_from_another_thread(home: Home, way: str) -> None:
    stream = home().client.interrupts.stream()
    ended = threading.Event()

    def listen() -> None:
        for _ in stream:
            pass
        ended.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    stream.close()
    assert ended.wait(10)
    listener.join(10)


# -- over whatever happens -----------------------------------------------------------------------------------------

Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def meet(request: pytest.FixtureRequest) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform: stack.enter_context(meeting(str(request.param), platform))


def question(number: int) -> bytes:
    asked = f'{{"id": "q{number}", "status": "pending"}}'
    return f'{{"event": "interrupts", "data": {asked}, "id": {number}}}\n'.encode()


def test_a_stream_that_is_cut_goes_on_from_where_it_was(meet: Meet) -> None:
    platform = Platform()
    asked: list[Any] = []

    def answer(request: Any, wire: Any) -> None:
        asked.append(request.path)
        wire.begin()
        wire.chunk(question(len(asked)))
        wire.cut()

    platform.answers["GET /interrupts/stream"] = answer
    client, _ = meet(platform)
    with client.interrupts.stream() as stream:
        assert [next(stream).id for _ in range(3)] == ["q1", "q2", "q3"]


def test_the_cursor_is_behind_what_was_told_and_not_behind_what_was_read(meet: Meet) -> None:
    platform = Platform()

    def answer(request: Any, wire: Any) -> None:
        wire.begin()
        wire.chunk(question(1) + question(2) + question(3))
        wire.cut()

    platform.answers["GET /interrupts/stream"] = answer
    client, _ = meet(platform)
    with client.interrupts.stream(after=0) as stream:
        told = [(stream.cursor, next(stream).id, stream.cursor) for _ in range(3)]
    assert told == [(0, "q1", 1), (1, "q2", 2), (2, "q3", 3)]


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (404, NotFoundError)])
def test_a_stream_that_is_refused_says_so(meet: Meet, status: int, kind: type[Exception]) -> None:
    platform = Platform()
    platform.answers["GET /interrupts/stream"] = lambda request, wire: wire.json(problem("x", status, "no"), status)
    client, _ = meet(platform)
    with client.interrupts.stream() as stream, pytest.raises(kind):
        next(stream)
