"""What is told of a task that goes by: each status once, each line of its log once, nothing that a terminal obeys."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agentkit.cli.display import display_of
from agentkit.cli.exits import DENIED, FAILED, MISUSED, NOT_FOUND, UNREACHABLE, Mistake, code_of, text_of
from agentkit.cli.inputs import Asked, placed
from agentkit.cli.logs import Growing
from agentkit.cli.screen import Screen
from agentkit.errors import (
    AgentKitError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    InvalidInputError,
    NotFoundError,
    ReferenceSyntaxError,
    ServerError,
    SessionEndedError,
    TaskLostError,
)
from agentkit.wire import Task, TaskLog, TaskLogType


def _log(text: str, kind: TaskLogType = TaskLogType.TASK) -> TaskLog:
    return TaskLog(log_type=kind, content=base64.b64encode(text.encode()).decode())


def _task(status: int, *events: int, output: Any = None, log: str = "") -> Task:
    told = [{"id": str(place), "status": each} for place, each in enumerate(events)]
    return Task.parse({"id": "t", "status": status, "events": told, "output": output, "logs": [_log(log)]})


def test_plain_lines_tell_every_status_and_line_once_also_those_that_went_by_unseen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = iter(range(1000))
    with display_of(Screen(), clock=lambda: float(next(now))) as display:
        display.tell(_task(1, 1))
        display.tell(_task(7, 1, 2, 3, 7, log="one\n"))
        display.tell(_task(7, 1, 2, 3, 7, log="one\ntwo\n", output={"text": "a"}))
        display.tell(_task(7, 1, 2, 3, 7, log="one\ntwo\n", output={"text": "a"}))
        display.tell(_task(10, 1, 2, 3, 7, 10, log="one\ntwo\nthree", output={"text": "ab"}))
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(maxsplit=1)[-1] for line in told.err.splitlines()] == [
        "received", "queued", "dispatched", "running", "one", "two", 'output {"text": "a"}', "completed", "three",
    ]  # fmt: skip


def test_json_lines_are_the_updates_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with display_of(Screen(is_json=True), is_stream=True) as display:
        display.tell(_task(1, 1))
        display.tell(_task(10, 1, 10))
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 2 and told.err == ""


def test_a_log_that_lost_its_beginning_goes_on_where_it_was() -> None:
    growing = Growing()
    assert list(growing.new([_log("pip\n", TaskLogType.BUILD), _log("one\ntwo\n")])) == [
        ("build", "pip\n"), ("", "one\ntwo\n"),
    ]  # fmt: skip
    assert list(growing.new([_log("pip\n", TaskLogType.BUILD), _log("[left out]\none\ntwo\nthree\n")])) == [
        ("", "three\n")
    ]
    assert list(growing.new("plain text")) == [("", "plain text")]


def test_escape_sequences_of_an_app_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with display_of(Screen()) as display:
        display.tell(_task(7, 7, log="\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n"))
    assert "\x1b" not in (told := capsys.readouterr().err) and "\x07" not in told and "red" in told


def test_tables_are_tabs_in_a_pipe_and_documents_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table(("a", "b"), [("x\ty\nz", None)], records=[{"a": 1}])
    assert capsys.readouterr().out == "x y z\t\n"
    Screen(is_json=True).table(("a", "b"), [("x", None)], records=[{"a": 1}])
    assert capsys.readouterr().out == '[\n  {\n    "a": 1\n  }\n]\n'


def test_values_of_set_are_json_or_else_text_and_go_where_their_key_says() -> None:
    asked = Asked.parse('{"size": {"height": 1}}', sets=["size.width=2", "name=a=b", 'code="7"', "on=true"], files=None)
    assert asked.value == {"size": {"height": 1, "width": 2}, "name": "a=b", "code": "7", "on": True}
    with pytest.raises(Mistake, match="no members"):
        placed({"a": 1}, "a.b", 2, option="--set")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Mistake("no"), MISUSED),
        (ReferenceSyntaxError("no"), MISUSED),
        (NotFoundError(404, "no"), NOT_FOUND),
        (SessionEndedError(410, "no"), NOT_FOUND),
        (AuthenticationError(401, "no"), DENIED),
        (ConnectError("no"), UNREACHABLE),
        (TaskLostError("no", outcome="lost"), UNREACHABLE),
        (ServerError(500, "no"), FAILED),
        (ConfigError("no"), FAILED),
    ],
    ids=lambda each: type(each).__name__,
)
def test_every_error_has_its_exit_code(error: AgentKitError, code: int) -> None:
    assert code_of(error) == code


def test_what_is_wrong_in_an_input_is_told_once() -> None:
    wrong = [{"path": "size.width", "message": "3 is too small"}, {"path": "", "message": "there is no 'text'"}]
    told = text_of(InvalidInputError(422, "there is no 'text'", errors=wrong))
    assert told == "HTTP 422: there is no 'text'\n  size.width: 3 is too small"
