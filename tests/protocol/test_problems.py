"""Error answers: the right class, the right words, from whatever came."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import errors
from agentkit.errors import (
    AlreadyResolvedError,
    APIError,
    InvalidInputError,
    LocalProtocolError,
    NotFoundError,
    RateLimitError,
    RequirementsNotMetError,
    ServerError,
    SessionError,
    SessionExpiredError,
)
from agentkit.protocol.problems import ERROR_BASE, PROBLEMS, error_from, header, problem

NOW = 784_111_747.0  # Sun, 06 Nov 1994 08:49:07 GMT
PROBLEM = {"Content-Type": "application/problem+json"}
REQUIREMENTS = [
    {
        "type": "secret",
        "key": "OPENAI_API_KEY",
        "message": "OPENAI_API_KEY is not set",
        "action": {"type": "add_secret"},
    },
    {
        "type": "scope",
        "key": "google.sheets",
        "message": "Missing Google scopes",
        "action": {"type": "add_scopes", "provider": "google", "scopes": ["https://scopes.example/sheets"]},
    },
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
members = [
    "type",
    "title",
    "status",
    "detail",
    "message",
    "error",
    "code",
    "errors",
    "winner",
    "session_id",
    "retry_after",
]
error_bodies = st.dictionaries(st.sampled_from(members), json_values, max_size=8)


def said(status: int, body: Any = b"", headers: dict[str, str] | None = None, *, now: float | None = None) -> APIError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from(status, data, headers or {}, now=now)


# -- which class ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (302, "APIError"),
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (402, "PaymentRequiredError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (405, "BadRequestError"),
        (409, "ConflictError"),
        (410, "NotFoundError"),
        (412, "APIError"),  # of a proxy, without a list of requirements
        (413, "BadRequestError"),
        (415, "BadRequestError"),
        (418, "APIError"),
        (422, "InvalidInputError"),
        (429, "RateLimitError"),
        (500, "ServerError"),
        (503, "ServerError"),
        (599, "ServerError"),
        (600, "APIError"),
    ],
)
def test_without_a_code_the_status_chooses_the_class(status: int, name: str) -> None:
    error = said(status, {"detail": "no"})
    assert type(error).__name__ == name
    assert (error.status_code, error.message, error.code) == (status, "no", "")
    assert str(error) == f"HTTP {status}: no"


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("SESSION_NOT_FOUND", 404, "SessionNotFoundError"),
        ("SESSION_EXPIRED", 410, "SessionExpiredError"),
        ("SESSION_ENDED", 410, "SessionEndedError"),
        ("WORKER_LEASED", 409, "SessionError"),
        ("APP_MISMATCH", 400, "SessionError"),
        ("APP_MISMATCH", 409, "SessionError"),
        ("VERSION_MISMATCH", 400, "SessionError"),
        ("WORKER_LOST", 500, "WorkerLostError"),
        ("already_resolved", 409, "AlreadyResolvedError"),
        ("validation_error", 400, "InvalidInputError"),
        ("requirements_not_met", 400, "RequirementsNotMetError"),
        ("rate_limited", 503, "RateLimitError"),
        ("something_new", 404, "NotFoundError"),
    ],
)
@pytest.mark.parametrize("form", ["problem", "wrapped", "plain"])
def test_the_code_goes_before_the_status_in_every_form(code: str, status: int, name: str, form: str) -> None:
    body = {
        "problem": {"type": f"https://api.inference.sh/errors/{code}", "title": "T", "status": status, "detail": "why"},
        "wrapped": {"success": False, "status": status, "error": {"code": code, "message": "why"}},
        "plain": {"code": code, "message": "why"},
    }[form]
    error = said(status, body, PROBLEM if form == "problem" else {})
    assert type(error) is getattr(errors, name)
    assert (error.status_code, error.code, error.message) == (status, code, "why")


def test_the_code_in_type_goes_before_the_others() -> None:
    assert said(404, {"type": f"{ERROR_BASE}a", "error": {"code": "b"}, "code": "c"}).code == "a"
    assert said(404, {"type": "about:blank", "error": {"code": "b"}, "code": "c"}).code == "b"
    assert said(404, {"type": f"{ERROR_BASE}", "error": "b", "code": "c"}).code == "c"
    assert said(404, {"type": 5, "code": 7}).code == ""


# -- which words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": "d", "title": "t", "message": "m", "error": {"message": "e"}}, "d"),
        ({"detail": "", "title": "t", "message": "m"}, "t"),
        ({"detail": None, "title": "  ", "message": "m"}, "m"),
        ({"error": {"code": "x", "message": "e"}}, "e"),
        ({"error": "target missing"}, "target missing"),
        ({"detail": ["no text"]}, '{"detail": ["no text"]}'),
        ({}, "{}"),
        ([1, 2], "[1, 2]"),
        (b"  upstream connect error\n", "upstream connect error"),
        (b"", "Bad Gateway"),
        (b" \n", "Bad Gateway"),
        ("café".encode("latin-1"), "caf\ufffd"),
        (b'\xef\xbb\xbf{"detail":"marked"}', "marked"),
    ],
)
def test_the_message_is_the_first_that_says_something(body: Any, message: str) -> None:
    assert said(502, body).message == message


def test_a_page_is_read_without_its_tags() -> None:
    page = b"""<!DOCTYPE html><html><head><title>502 Bad Gateway</title><style>p{color:red}</style>
    <script>if (a < b) x()</script></head><body><!-- nginx > here --><h1>Sorry &amp; bye</h1></body></html>"""
    assert said(502, page).message == "502 Bad Gateway Sorry & bye"
    assert said(502, b"gateway <b>down</b>", {"content-type": "text/html; charset=utf-8"}).message == "gateway down"
    assert said(502, b"<script>only()").message == "Bad Gateway"


def test_a_long_text_is_cut_in_message_and_body() -> None:
    error = said(500, b"x" * 100_000)
    assert error.message == "x" * 500
    assert error.response_body == "x" * 10_000


def test_a_status_without_a_name_still_says_something() -> None:
    assert said(799).message == "Request failed"


# -- what else it carries ------------------------------------------------------------------------------------------


def test_missing_requirements_are_listed_with_what_would_meet_them() -> None:
    error = said(412, {"satisfied": False, "errors": REQUIREMENTS})
    assert isinstance(error, RequirementsNotMetError)
    assert str(error) == "HTTP 412: OPENAI_API_KEY is not set"
    assert [(one.type, one.key) for one in error.errors] == [("secret", "OPENAI_API_KEY"), ("scope", "google.sheets")]
    assert error.code == "requirements_not_met"
    first, second = (one.action for one in error.errors)
    assert first is not None
    assert second is not None
    assert (first.type, first.provider, first.scopes) == ("add_secret", None, None)
    assert (second.provider, second.scopes) == ("google", ["https://scopes.example/sheets"])


@pytest.mark.parametrize(
    "entries", [[], ["text"], [{"action": "x"}], [{"message": "m", "action": {"scopes": 5}}], [None, {"key": 7}]]
)
def test_odd_requirements_do_not_break_the_error(entries: list[Any]) -> None:
    error = said(412, {"errors": entries, "detail": "set up first"})
    assert isinstance(error, RequirementsNotMetError)
    assert error.message in {"set up first", "m"}


def test_a_list_of_requirements_without_entries_keeps_the_words() -> None:
    assert said(412, {"errors": [], "detail": "set up first"}).message == "set up first"


def test_the_winner_of_a_decision_is_named() -> None:
    winner = {"resolution": "approved", "user_id": "u1"}
    error = said(409, problem("already_resolved", "approved before", winner=winner))
    assert isinstance(error, AlreadyResolvedError)
    assert error.winner == winner
    odd = said(409, problem("already_resolved", "approved before", winner="u1"))
    assert isinstance(odd, AlreadyResolvedError)
    assert odd.winner == {}


def test_input_errors_name_path_and_message() -> None:
    error = said(
        422, problem("validation_error", "2 problems", errors=[{"path": "$.city", "message": "missing"}, "odd"])
    )
    assert isinstance(error, InvalidInputError)
    assert error.errors == [{"path": "$.city", "message": "missing"}, {"path": "", "message": "odd"}]


def test_a_session_error_knows_its_session() -> None:
    by_member = said(410, problem("SESSION_EXPIRED", "idle for 60 s", session_id="sess_1"))
    by_meta = said(
        410, {"success": False, "error": {"code": "SESSION_EXPIRED", "message": "m", "meta": {"session_id": "sess_1"}}}
    )
    unnamed = said(410, problem("SESSION_EXPIRED", "idle for 60 s", session_id=5))
    found = [error.session_id for error in (by_member, by_meta, unnamed) if isinstance(error, SessionError)]
    assert found == ["sess_1", "sess_1", None]


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({}, {"Retry-After": "7"}, 7.0),
        ({"retry_after": 3}, {"retry-after": "7"}, 7.0),
        ({}, {"RETRY-AFTER": "Sun, 06 Nov 1994 08:49:37 GMT"}, 30.0),
        ({"retry_after_seconds": 2.5}, {"Retry-After": "soon"}, 2.5),
        ({"retry_after": 3}, {}, 3.0),
        ({"error": {"meta": {"retry_after": 4}}}, {}, 4.0),
        ({"retry_after": True}, {}, None),
        ({"retry_after": -1}, {}, None),
        ({"retry_after": "3"}, {}, None),
        ({}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "784111757"}, 10.0),
        ({}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "5"}, 0.0),
        ({}, {"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "784111757"}, None),
        ({}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "x"}, None),
        ({}, {}, None),
    ],
)
def test_the_pause_comes_from_wherever_it_is_said(
    body: dict[str, Any], headers: dict[str, str], seconds: float | None
) -> None:
    error = said(429, body, headers, now=NOW)
    assert isinstance(error, RateLimitError)
    assert error.retry_after_seconds == seconds


def test_a_moment_needs_a_clock() -> None:
    assert said(429, {}, {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}).retry_after_seconds is None
    assert said(429, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "784111757"}).retry_after_seconds is None


def test_an_error_survives_a_process_border() -> None:
    error = said(410, problem("SESSION_EXPIRED", "idle", session_id="s1"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) is SessionExpiredError
    assert (str(again), again.code, again.session_id) == ("HTTP 410: idle", "SESSION_EXPIRED", "s1")


# -- laws ----------------------------------------------------------------------------------------------------------


@given(
    st.integers(100, 999),
    st.binary(max_size=80),
    st.dictionaries(st.text(max_size=14), st.text(max_size=14), max_size=3),
)
def test_no_bytes_make_it_raise(status: int, body: bytes, headers: dict[str, str]) -> None:
    error = error_from(status, body, headers, now=NOW)
    assert error.status_code == status
    assert error.message


@given(st.sampled_from([400, 409, 410, 412, 422, 429, 500]), error_bodies, st.sampled_from([*PROBLEMS, "x"]))
def test_no_json_makes_it_raise(status: int, body: dict[str, Any], code: str) -> None:
    for form in (
        body,
        {**body, "code": code},
        {**body, "type": f"{ERROR_BASE}{code}"},
        {"error": {"code": code, "meta": body}},
    ):
        error = said(status, form, now=NOW)
        assert error.status_code == status
        assert error.message
        assert error.response_body == json.dumps(form)


@pytest.mark.parametrize(
    "page", [b"<!--" * 5000, b"<script>" * 2500, b"<" * 20_000, b"</script   " * 2000, b"<style></style " * 1500]
)
def test_a_hostile_page_takes_no_time(page: bytes) -> None:
    assert isinstance(said(502, page), ServerError)


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_of_the_table_comes_back_as_itself(code: str) -> None:
    made = problem(code, "the reason")
    error = said(made["status"], made, PROBLEM)
    assert (error.status_code, error.code, error.message) == (PROBLEMS[code][0], code, "the reason")
    assert type(error) is not APIError


# -- writing -------------------------------------------------------------------------------------------------------


def test_a_problem_has_the_five_members_and_its_own() -> None:
    assert problem("not_found", "task not found", task={"id": "t1"}) == {
        "type": "https://api.inference.sh/errors/not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "task not found",
        "task": {"id": "t1"},
    }


def test_the_status_can_be_another_than_the_tables() -> None:
    assert problem("validation_error", "bad", status=400)["status"] == 400
    assert isinstance(said(400, problem("validation_error", "bad", status=400)), InvalidInputError)


def test_a_code_that_the_table_lacks_is_our_own_bug() -> None:
    with pytest.raises(LocalProtocolError, match="'gone_fishing'"):
        problem("gone_fishing", "x")


def test_the_table_holds_every_status_that_the_protocol_publishes() -> None:
    published = {
        **{"invalid_request": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "rate_limited": 429},
        **{"internal_error": 500, "SESSION_NOT_FOUND": 404, "SESSION_EXPIRED": 410, "SESSION_ENDED": 410},
        **{"WORKER_LEASED": 409, "APP_MISMATCH": 400, "VERSION_MISMATCH": 400, "requirements_not_met": 412},
        **dict.fromkeys(["conflict", "name_conflict", "already_exists", "invalid_transition"], 409),
        **dict.fromkeys(["limit_exceeded", "payment_required", "payment_method_required"], 402),
        **dict.fromkeys(["feature_not_available", "insufficient_scope", "requires_sign_in", "team_role_required"], 403),
        **{"blocked_by_usage_policy": 403, "app_retired": 410, "app_maintenance": 503, "method_not_allowed": 405},
        **{"validation_error": 422},
    }
    assert {code: PROBLEMS[code][0] for code in published} == published
    assert all(title for _, title in PROBLEMS.values())


def test_a_header_is_found_whatever_its_case() -> None:
    assert header({"X-Api-VERSION": "2"}, "x-api-version") == "2"
    assert header({"other": "2"}, "x-api-version") is None


def test_not_found_is_said_for_the_gone() -> None:
    assert isinstance(said(410, problem("app_retired", "gone")), NotFoundError)
