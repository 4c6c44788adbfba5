"""Task statuses and what is read from tasks, in the forms of seeds/003."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.wire import (
    AppSession,
    AppSessionStatus,
    ResourceStatus,
    RunTaskRequest,
    Task,
    TaskLog,
    TaskLogType,
    TaskStatus,
    is_terminal_status,
    parse_status,
)

SEED_NUMBERS = {  # seeds/003, "task status values"
    "RECEIVED": 1,
    "QUEUED": 2,
    "DISPATCHED": 3,
    "PREPARING": 4,
    "SERVING": 5,
    "SETTING_UP": 6,
    "RUNNING": 7,
    "CANCELLING": 8,
    "UPLOADING": 9,
    "COMPLETED": 10,
    "FAILED": 11,
    "CANCELLED": 12,
}


def test_the_numbers_are_those_of_the_readme() -> None:
    assert {status.name: status.value for status in TaskStatus} == {"UNKNOWN": 0, **SEED_NUMBERS}


@pytest.mark.parametrize("status", TaskStatus)
def test_a_number_a_name_and_a_member_are_the_same_status(status: TaskStatus) -> None:
    name = status.name.lower()
    for value in (status, int(status), name, name.upper(), name.title()):
        assert parse_status(value) is status
        assert Task.parse({"status": value}).status is status


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, None),
        ("scheduled", TaskStatus.DISPATCHED),
        ("no such", TaskStatus.UNKNOWN),
        ("", TaskStatus.UNKNOWN),
        (13, TaskStatus.UNKNOWN),
        (-1, TaskStatus.UNKNOWN),
        ("rejected", TaskStatus.UNKNOWN),
    ],
)
def test_parse_status_of_what_is_not_in_the_table(value: int | str | None, status: TaskStatus | None) -> None:
    assert parse_status(value) is status


def test_a_task_is_over_when_completed_failed_cancelled_or_rejected() -> None:
    over = {status for status in TaskStatus if is_terminal_status(status)}
    assert over == {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}
    assert {name for name in SEED_NUMBERS if is_terminal_status(name.lower())} == {"COMPLETED", "FAILED", "CANCELLED"}
    assert is_terminal_status("rejected")
    assert is_terminal_status("Rejected")
    assert not is_terminal_status(None)
    assert not is_terminal_status("no such")


@given(st.integers(min_value=13))
def test_a_number_above_the_table_is_over_so_that_nobody_waits_for_ever(status: int) -> None:
    assert is_terminal_status(status)


@given(st.integers(max_value=9))
def test_a_number_below_completed_is_not_over(status: int) -> None:
    assert not is_terminal_status(status)


@pytest.mark.parametrize("status", [13, 99, -4, "rejected", "thinking", ""])
def test_a_status_without_a_member_is_kept_and_written_as_it_came(status: int | str) -> None:
    task = Task.parse({"status": status})
    assert task.status == status
    assert type(task.status) is type(status)
    assert task.to_wire()["status"] == status


def test_a_status_with_a_member_is_written_as_its_number() -> None:
    assert Task.parse({"status": "running"}).to_wire()["status"] == 7


def test_a_task_without_status_is_unknown_and_not_over() -> None:
    task = Task.parse({"id": "t"})
    assert task.status is TaskStatus.UNKNOWN
    assert not is_terminal_status(task.status)


def test_the_readme_reads_a_task_like_a_dict() -> None:
    task = Task.parse(
        {"id": "task_abc123", "status": 10, "output": {"image": {"uri": "https://x"}}, "session_id": None}
    )
    assert f"Task ID: {task.get('id')}" == "Task ID: task_abc123"
    assert f"Output: {task.get('output')}" == "Output: {'image': {'uri': 'https://x'}}"
    assert task["id"] == "task_abc123"
    assert TaskStatus(task["status"]).name == "COMPLETED"
    assert task.get("session_id") is None
    update = Task.parse({"status": "running"})
    status = parse_status(update.get("status"))
    assert f"Status: {status.name if status else 'unknown'}" == "Status: RUNNING"
    assert parse_status(task.get("status")) == TaskStatus.COMPLETED
    assert is_terminal_status(task.get("status"))


def test_a_slim_answer_with_a_wait_is_a_task() -> None:
    task = Task.parse({"id": "t", "status": 10, "status_text": "completed", "output": {"audio": "https://x.wav"}})
    assert task.output == {"audio": "https://x.wav"}
    assert task.error is None


@pytest.mark.parametrize("logs", ["one text", ["a", "b"], [{"log_type": 1, "content": "aGk="}], [{"log_type": 9}], []])
def test_logs_of_every_age_are_kept(logs: object) -> None:
    written = Task.parse({"logs": logs}).to_wire()["logs"]
    if isinstance(logs, list) and logs and isinstance(logs[0], dict):
        assert logs[0].items() <= written[0].items()
    else:
        assert written == logs


def test_a_log_type_is_a_member_or_the_number_it_came_as() -> None:
    assert TaskLog.parse({"log_type": 3}).log_type is TaskLogType.SETUP
    assert TaskLog.parse({"log_type": 42}).log_type == 42


def test_a_status_only_answer_holds_a_number_or_a_text() -> None:
    assert ResourceStatus.parse({"id": "t", "status": 7}).status == 7
    assert ResourceStatus.parse({"id": "c", "status": "awaiting_input"}).status == "awaiting_input"


def test_a_run_request_writes_back_the_readme_form_and_what_it_does_not_know() -> None:
    body = {
        "app": "your-app",
        "input": {"key": "value"},
        "infra": "cloud",
        "variant": "default",
        "session": "new",
        "session_timeout": 300,
        "worker_selection_mode": "any",
    }
    assert RunTaskRequest.parse(body).to_wire() == body


def test_a_session_reads_its_status_and_its_times() -> None:
    session = AppSession.parse({"id": "sess_1", "status": "active", "idle_timeout": 60, "call_count": 2})
    assert session.status is AppSessionStatus.ACTIVE
    assert session["idle_timeout"] == 60
    assert session.get("ended_at") is None
