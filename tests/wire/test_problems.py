"""Errors and envelopes as they travel."""

from __future__ import annotations

import pytest

from agentkit.wire import (
    CursorListRequest,
    Envelope,
    ErrorCode,
    FilterOperator,
    Problem,
    RequirementsProblem,
    RequirementType,
    SetupActionType,
)


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        ("https://api.inference.sh/errors/not_found", "not_found"),
        ("https://api.inference.sh/errors/SESSION_EXPIRED", "SESSION_EXPIRED"),
        ("https://example.com/errors/feature:scopes", "feature:scopes"),
        ("about:blank", ""),
        ("", ""),
    ],
)
def test_the_code_of_a_problem_is_the_end_of_its_type(type_: str, code: str) -> None:
    assert Problem.parse({"type": type_}).code == code


def test_a_problem_keeps_its_extension_members() -> None:
    problem = Problem.parse({"title": "Not Found", "status": 404, "detail": "task not found", "task": {"id": "t"}})
    assert problem["task"] == {"id": "t"}
    assert problem.to_wire() == {"title": "Not Found", "status": 404, "detail": "task not found", "task": {"id": "t"}}


def test_unmet_requirements_read_as_documented() -> None:
    google = {"type": "scope", "key": "google.sheets", "message": "Missing Google scopes"}
    action = {"type": "add_scopes", "provider": "google", "scopes": ["https://www.googleapis.com/auth/spreadsheets"]}
    problem = RequirementsProblem.parse(
        {
            "satisfied": False,
            "errors": [
                {"type": "secret", "key": "K", "message": "K is not set", "action": {"type": "add_secret"}},
                {**google, "action": action},
                {"type": "credential", "key": "c", "message": "m"},
            ],
        }
    )
    assert [error.type for error in problem.errors] == [
        RequirementType.SECRET,
        RequirementType.SCOPE,
        RequirementType.CREDENTIAL,
    ]
    assert problem.errors[1].action is not None
    assert problem.errors[1].action.type is SetupActionType.ADD_SCOPES
    assert problem.errors[1].action.scopes == action["scopes"]
    assert problem.errors[2].action is None


def test_an_envelope_of_either_dialect_is_read() -> None:
    wrapped = Envelope.parse({"success": False, "status": 401, "error": {"code": "unauthorized", "message": "no key"}})
    newest = Envelope.parse({"data": {"id": "t"}, "messages": [{"level": "warning", "code": "c", "message": "m"}]})
    assert wrapped.error is not None
    assert (wrapped.success, wrapped.error.code) == (False, ErrorCode.UNAUTHORIZED)
    assert newest.messages is not None
    assert (newest.data, newest.messages[0].level) == ({"id": "t"}, "warning")


def test_a_list_request_sends_only_what_was_asked_for() -> None:
    assert CursorListRequest().to_wire() == {}
    body = {"limit": 5, "filters": [{"field": "status", "operator": "in", "value": [1, 2]}]}
    request = CursorListRequest.parse(body)
    assert request.filters is not None
    assert request.filters[0].operator is FilterOperator.OP_IN
    assert request.to_wire() == body
