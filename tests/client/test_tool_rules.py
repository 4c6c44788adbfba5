"""What a client tool says about its calls: how long one may take, whether it is tried again; and results with files."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from agentkit import ToolAwaited, ToolContext, ToolFinished, ToolOutput, UsageError, string, tool
from agentkit.client import handlers
from agentkit.errors import APIError, ToolError
from agentkit.testing import Signal, call
from tests.client.conftest import Home
from tests.client.ways import Told, play

pytestmark = pytest.mark.heavy

LOOK = call("look", {"q": "Ada"})
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


def looking(handler: Any) -> Any:
    return tool("look").describe("Looks").param("q", string()).handler(handler)


def finished(told: Told) -> tuple[str, str]:
    """How the one call ended: status and result."""
    [event] = told.of(ToolFinished)
    return str(event.invocation.status), event.invocation.result


# -- time ----------------------------------------------------------------------------------------------------------


def test_a_handler_that_takes_longer_than_its_tool_allows_is_told_to_the_model(home: Home) -> None:
    ended = Signal()

    def look(q: str, ctx: ToolContext) -> str:
        while not ctx.cancelled:
            threading.Event().wait(0.005)
        ended.set()
        return "too late"

    told = play(home(LOOK, "Nothing found.").agent(looking(look).timeout(0.05)))
    assert finished(told) == ("failed", '{"error":"tool \'look\' took longer than 0.05 s"}')
    assert told.result.text == "Nothing found."
    ended.wait_sync(timeout_seconds=2)


def test_what_a_tool_allows_wins_over_what_all_tools_are_allowed(home: Home) -> None:
    def look(q: str) -> str:
        threading.Event().wait(0.2)
        return "found"

    agent = home(LOOK, "Found.").agent(looking(look).timeout(30), tool_timeout_seconds=0.05)
    assert finished(play(agent)) == ("completed", "found")


# -- trying again --------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between attempts."""
    monkeypatch.setattr(handlers, "FIRST_PAUSE_SECONDS", 0.001)


def failing(times: int, seen: list[str], error: type[Exception] = OSError) -> Any:
    """A handler that raises so often, and then finds."""

    def look(q: str, ctx: ToolContext) -> str:
        seen.append(ctx.idempotency_key)
        if len(seen) <= times:
            raise error("the line is busy")
        return f"found {q}"

    return look


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_an_idempotent_handler_that_raises_is_tried_again_under_the_same_key(home: Home, is_async: bool) -> None:
    seen: list[str] = []
    plain = failing(2, seen)

    async def waiting(q: str, ctx: ToolContext) -> str:
        return str(plain(q, ctx))

    told = play(home(LOOK, "Done.").agent(looking(waiting if is_async else plain).idempotent().retry(2)))
    assert finished(told) == ("completed", "found Ada")
    assert len(seen) == 3
    assert len(set(seen)) == 1


@pytest.mark.usefixtures("quick")
def test_after_the_last_attempt_the_model_reads_what_was_raised(home: Home) -> None:
    seen: list[str] = []
    told = play(home(LOOK, "Sorry.").agent(looking(failing(9, seen)).idempotent().retry(1)))
    assert finished(told) == ("failed", '{"error":"OSError: the line is busy"}')
    assert len(seen) == 2


@pytest.mark.usefixtures("quick")
def test_what_a_handler_says_on_purpose_is_not_tried_again(home: Home) -> None:
    seen: list[str] = []
    told = play(home(LOOK, "Sorry.").agent(looking(failing(9, seen, ToolError)).idempotent().retry(5)))
    assert finished(told) == ("failed", '{"error":"the line is busy"}')
    assert len(seen) == 1


def test_a_handler_that_is_idempotent_alone_is_not_tried_again(home: Home) -> None:
    seen: list[str] = []
    told = play(home(LOOK, "Sorry.").agent(looking(failing(9, seen)).idempotent()))
    assert finished(told)[0] == "failed"
    assert len(seen) == 1


def test_nobody_tries_again_after_the_time_is_over(home: Home) -> None:
    seen: list[str] = []
    told = play(home(LOOK, "Sorry.").agent(looking(failing(9, seen)).idempotent().retry(3).timeout(0.05)))
    assert finished(told)[1] == '{"error":"tool \'look\' took longer than 0.05 s"}'
    assert len(seen) == 1  # the pause before the second attempt is longer than that


# -- files ---------------------------------------------------------------------------------------------------------


def attached(told: Told) -> list[Any]:
    [event] = told.of(ToolFinished)
    return list(event.invocation.attachments or ())


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_files_of_a_result_are_uploaded_and_shown_to_the_model(home: Home, tmp_path: Path, is_async: bool) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    output = ToolOutput({"rows": 1}, files=[tmp_path / "table.csv", PNG])

    async def waiting(q: str) -> ToolOutput:
        return output

    place = home(LOOK, "A chart.")
    told = play(place.agent(looking(waiting if is_async else lambda args: output)))
    assert finished(told) == ("completed", '{"rows":1}')
    table, chart = attached(told)
    assert (table.filename, table.size, chart.content_type) == ("table.csv", 8, "image/png")
    assert place.client.files.download(table) == b"a,b\n1,2\n"
    [answer] = [each for each in place.model.requests[-1].messages if each.role == "tool"]
    assert answer.text.startswith('{"rows":1}\n[file table.csv ')
    assert len(answer.images) == 1


def test_a_file_that_is_uploaded_already_is_not_uploaded_again(home: Home) -> None:
    place = home(LOOK, "Done.")
    record = place.client.files.upload(b"one")
    told = play(place.agent(looking(lambda args: ToolOutput("one", files=[record]))))
    assert [each.uri for each in attached(told)] == [record.uri]
    assert len(place.client.files.list().items) == 1


def test_a_file_that_cannot_be_read_is_told_to_the_model(home: Home, tmp_path: Path) -> None:
    told = play(home(LOOK, "Sorry.").agent(looking(lambda args: ToolOutput("it", files=[tmp_path / "gone.txt"]))))
    status, result = finished(told)
    assert status == "failed"
    assert "the files of the result could not be uploaded" in result
    assert "gone.txt" in result


def test_too_many_files_are_told_to_the_model(home: Home) -> None:
    told = play(home(LOOK, "Sorry.").agent(looking(lambda args: ToolOutput("all", files=[b"x"] * 21))))
    assert finished(told)[0] == "failed"
    assert "21 files are too many for one result: 20 at most" in finished(told)[1]


def test_a_call_that_nobody_handles_is_answered_by_hand_with_a_file(home: Home) -> None:
    place = home(LOOK, "Thanks.")
    agent = place.agent(tool("look").param("q", string()))

    def answer(event: Any) -> None:
        if isinstance(event, ToolAwaited):
            with pytest.raises(UsageError):
                agent.submit_tool_result(event.invocation.id, ToolOutput("it", files=[object()]))
            agent.submit_tool_result(event.invocation.id, ToolOutput({"found": 1}, files=[PNG]))

    told = play(agent, then=answer)
    assert finished(told) == ("completed", '{"found":1}')
    assert [each.content_type for each in attached(told)] == ["image/png"]


def test_a_platform_refuses_files_that_are_not_there_and_more_than_it_takes(home: Home) -> None:
    agent = home(LOOK, "Thanks.").agent(tool("look").param("q", string()))
    errors: list[str] = []

    def answer(event: Any) -> None:
        if isinstance(event, ToolAwaited):
            for refs in ([{"uri": "inf://files/none/a.png"}], [{"uri": ""}]):
                with pytest.raises(APIError) as refused:
                    agent.submit_tool_result(event.invocation.id, ToolOutput("it", files=refs))
                errors.append(str(refused.value))
            agent.submit_tool_result(event.invocation.id, "it")

    told = play(agent, then=answer)
    assert told.result.text == "Thanks."
    assert "not found" in errors[0]
    assert "uri" in errors[1]
