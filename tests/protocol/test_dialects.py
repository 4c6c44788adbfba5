"""Dialects: what one side dresses the other unwraps, and every SDK generation finds what it looks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import (
    AuthenticationError,
    LocalProtocolError,
    NotFoundError,
    RemoteProtocolError,
    RequirementsNotMetError,
    ServerError,
)
from agentkit.protocol.dialects import Answer, Dialect, choose, dress, dress_error, unwrap
from agentkit.protocol.problems import PROBLEMS, error_from, problem

both = pytest.mark.parametrize("dialect", Dialect)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


def body_of(answer: Answer) -> Any:
    return json.loads(answer.body)


def read(body: Any, *, status: int = 200) -> tuple[Any, list[dict[str, Any]]]:
    return unwrap(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


# -- choosing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "dialect"),
    [
        ({}, Dialect.ENVELOPE),
        ({"X-API-Version": "2"}, Dialect.BARE),
        ({"x-api-version": " 2 "}, Dialect.BARE),
        ({"X-API-Version": "1"}, Dialect.ENVELOPE),
        ({"x-inf-proxy": "@inferencesh/sdk-proxy/nextjs"}, Dialect.BARE),
        ({"X-Inf-Proxy": "p", "X-API-Version": "1"}, Dialect.ENVELOPE),
    ],
)
def test_the_request_chooses_the_dialect(headers: dict[str, str], dialect: Dialect) -> None:
    assert choose(headers) is dialect


# -- both sides ----------------------------------------------------------------------------------------------------


@given(values)
def test_the_envelope_gives_back_any_data(data: Any) -> None:
    answer = dress(Dialect.ENVELOPE, 200, data)
    assert unwrap(answer.status, answer.body, {}) == (data, [])


@given(st.dictionaries(texts, values).filter(lambda data: "data" not in data) | st.lists(values) | scalars)
def test_a_bare_answer_gives_back_any_resource(data: Any) -> None:
    answer = dress(Dialect.BARE, 200, data)
    assert unwrap(answer.status, answer.body, {}) == (data, [])


@both
@pytest.mark.parametrize("code", PROBLEMS)
def test_every_error_reads_the_same_in_both_dialects(dialect: Dialect, code: str) -> None:
    made = problem(code, "the reason")
    answer = dress_error(dialect, made)
    error = error_from(answer.status, answer.body, {"Content-Type": answer.media_type})
    assert (error.status_code, error.code, error.message) == (PROBLEMS[code][0], code, "the reason")
    assert type(error) is type(error_from(made["status"], json.dumps(made).encode(), {}))


@both
def test_extension_members_reach_the_caller_in_both_dialects(dialect: Dialect) -> None:
    answer = dress_error(dialect, problem("task_failed", "out of memory", task={"id": "t1"}))
    assert body_of(answer)["task"] == {"id": "t1"}


# -- writing -------------------------------------------------------------------------------------------------------


def test_a_bare_answer_is_the_data_and_nothing_else() -> None:
    assert dress(Dialect.BARE, 200, {"id": "c1"}) == Answer(200, "application/json", b'{"id":"c1"}')
    assert dress(Dialect.BARE, 201, [{"id": "f1"}]) == Answer(201, "application/json", b'[{"id":"f1"}]')
    assert dress(Dialect.BARE, 200, None) == Answer(200, "application/json", b"null")
    assert dress(Dialect.BARE, 204, None) == Answer(204, "", b"")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("data", [None, {"id": "c1"}, []])
def test_a_caller_without_the_header_never_gets_an_empty_body(status: int, data: Any) -> None:
    answer = dress(Dialect.ENVELOPE, status, data)
    assert (answer.status, answer.media_type) == (200, "application/json")
    assert body_of(answer) == {"success": True, "status": 200, "data": data, "messages": []}


def test_messages_travel_in_the_envelope() -> None:
    note = {"level": "warning", "code": "old_version", "message": "a newer version is there"}
    answer = dress(Dialect.ENVELOPE, 200, {"id": "c1"}, messages=[note])
    assert unwrap(200, answer.body, {}) == ({"id": "c1"}, [note])


def test_numbers_that_json_lacks_are_written_as_null() -> None:
    assert dress(Dialect.BARE, 200, {"x": float("nan")}).body == b'{"x":null}'


def test_a_bare_error_is_a_problem() -> None:
    answer = dress_error(Dialect.BARE, problem("not_found", "task not found"))
    assert (answer.status, answer.media_type) == (404, "application/problem+json")
    assert body_of(answer) == {
        "type": "https://api.inference.sh/errors/not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "task not found",
    }


def test_an_error_without_the_header_suits_every_sdk_generation() -> None:
    answer = dress_error(Dialect.ENVELOPE, problem("not_found", "task not found"))
    assert (answer.status, answer.media_type) == (404, "application/json")
    assert body_of(answer) == {
        "success": False,
        "status": 404,
        "error": {"code": "not_found", "message": "task not found"},
        "type": "https://api.inference.sh/errors/not_found",
        "title": "Not Found",
        "detail": "task not found",
    }


def test_suggestions_and_meta_stand_inside_the_older_error_too() -> None:
    answer = dress_error(
        Dialect.ENVELOPE, problem("limit_exceeded", "3 of 3 used", suggestions=["upgrade"], meta={"limit": 3})
    )
    assert body_of(answer)["error"] == {
        "code": "limit_exceeded",
        "message": "3 of 3 used",
        "suggestions": ["upgrade"],
        "meta": {"limit": 3},
    }


@both
def test_missing_requirements_stay_at_the_top_level(dialect: Dialect) -> None:
    missing = [{"type": "secret", "key": "K", "message": "K is not set", "action": {"type": "add_secret"}}]
    answer = dress_error(dialect, problem("requirements_not_met", "1 requirement is missing", errors=missing))
    body = body_of(answer)
    assert (answer.status, body["satisfied"], body["errors"]) == (412, False, missing)
    if dialect is Dialect.ENVELOPE:
        assert body["success"] is False
        assert body["error"] == {"code": "requirements_not_met", "message": "K is not set"}
    error = error_from(answer.status, answer.body, {})
    assert isinstance(error, RequirementsNotMetError)
    assert error.message == "K is not set"


@pytest.mark.parametrize("errors", [[], ["odd"], [{"key": "K"}]])
def test_requirements_without_words_fall_back_to_the_detail(errors: list[Any]) -> None:
    answer = dress_error(Dialect.ENVELOPE, problem("requirements_not_met", "set up first", errors=errors))
    assert body_of(answer)["error"]["message"] == "set up first"


def test_a_problem_without_a_status_is_our_own_bug() -> None:
    with pytest.raises(LocalProtocolError, match="without a status"):
        dress_error(Dialect.BARE, {"detail": "x"})


# -- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"success": True, "status": 200, "data": {"id": "t1"}}, {"id": "t1"}),
        ({"success": True, "status": 200, "data": None}, None),
        ({"data": {"id": "t1"}, "messages": []}, {"id": "t1"}),
        ({"data": [1]}, [1]),
        ({"id": "t1", "status": 10}, {"id": "t1", "status": 10}),
        ({"id": "x1", "data": "a resource's own"}, {"id": "x1", "data": "a resource's own"}),
        ({"success": True}, {"success": True}),
        ({"items": [], "next_cursor": ""}, {"items": [], "next_cursor": ""}),
        ([{"id": "f1"}], [{"id": "f1"}]),
        (None, None),
        ("text", "text"),
    ],
)
def test_all_three_dialects_are_read(body: Any, data: Any) -> None:
    assert read(body)[0] == data


def test_an_empty_body_is_none() -> None:
    assert unwrap(204, b"", {}) == (None, [])
    assert unwrap(200, b" \n", {}) == (None, [])


def test_messages_are_kept_and_odd_ones_left_out() -> None:
    note = {"level": "info", "code": "c", "message": "m"}
    assert read({"data": 1, "messages": [note, "odd"]}) == (1, [note])
    assert read({"data": 1, "messages": "odd"}) == (1, [])


def test_a_failure_under_a_good_status_is_raised() -> None:
    with pytest.raises(AuthenticationError, match="HTTP 401: no key"):
        read({"success": False, "status": 401, "error": {"code": "unauthorized", "message": "no key"}})
    with pytest.raises(NotFoundError, match="no chat"):
        read({"success": False, "status": 404, "error": "no chat"})


def test_an_answer_that_is_not_2xx_is_raised() -> None:
    with pytest.raises(ServerError, match="HTTP 503: down"):
        unwrap(503, b"down", {})
    with pytest.raises(ServerError) as caught:
        unwrap(503, b"down", {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, now=784_111_747.0)
    assert caught.value.retry_after_seconds == 30.0


def test_a_good_status_without_json_names_what_came() -> None:
    with pytest.raises(RemoteProtocolError, match="text/html") as caught:
        unwrap(200, b"<html>log in first</html>", {"content-type": "text/html"})
    assert "log in first" in str(caught.value)


def test_a_byte_order_mark_is_no_harm() -> None:
    assert unwrap(200, b'\xef\xbb\xbf{"id":"c1"}', {}) == ({"id": "c1"}, [])


@given(st.integers(200, 299), st.binary(max_size=60))
def test_bytes_that_are_no_json_raise_only_our_own_error(status: int, body: bytes) -> None:
    try:
        unwrap(status, body, {})
    except RemoteProtocolError as error:
        assert str(status) in str(error)
