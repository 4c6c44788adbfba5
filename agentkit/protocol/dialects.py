"""The three ways in which an answer's body is written (protocol.md 1.2).

    A, wrapped    {"success": true, "status": 200, "data": ...}
    B, bare       ...                                            asked for with `X-API-Version: 2`
    C, envelope   {"data": ..., "messages": [...]}

Client side, `unwrap` reads all three. Server side there are two: bare, and for callers without the header one envelope
that is A and C at once, so that every SDK generation finds what it looks for.

    >>> dress(choose({"x-api-version": "2"}), 200, {"id": "c1"}).body
    b'{"id":"c1"}'
    >>> unwrap(200, dress(choose({}), 200, {"id": "c1"}).body, {})
    ({'id': 'c1'}, [])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from pydantic_core import to_json

from agentkit.errors import LocalProtocolError, RemoteProtocolError
from agentkit.protocol.lines import BadLine, decode_json, is_array, is_object
from agentkit.protocol.problems import ERROR_BASE, error_from, header

__all__ = ["Answer", "Dialect", "choose", "dress", "dress_error", "unwrap"]

JSON: Final = "application/json"  # exactly: one SDK reads no JSON under any other name (protocol.md 1.2 rule 5)
PROBLEM_JSON: Final = "application/problem+json"
ERROR_MEMBERS: Final = ("suggestions", "meta")  # of the problem that dialect A keeps inside `error`
Messages: TypeAlias = list[dict[str, Any]]


# -- client side ---------------------------------------------------------------------------------------------------


def unwrap(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> tuple[Any, Messages]:
    """The data of an answer in any dialect, and the messages (`{level, code, message}`) that came with it.

    Raises the `APIError` of an answer that is not 2xx, or that is and says `"success": false`; RemoteProtocolError
    where a 2xx body is no JSON. An empty body is None.
    """
    if not 200 <= status <= 299:
        raise error_from(status, body, headers, now=now)
    if not body.strip():
        return None, []
    found = decode_json(body.removeprefix(b"\xef\xbb\xbf"))
    match found:
        case BadLine(message=message, head=head):
            kind = header(headers, "Content-Type") or "no content type"
            raise RemoteProtocolError(
                f"HTTP {status} with a body that is no JSON ({kind}): {message}; it starts {head!r}"
            )
        case {"success": False, "error": _}:
            raise error_from(_status_within(found, status), body, headers, now=now)
        case {"success": True, "data": data}:
            return data, _messages(found)
        case {"data": data} if "messages" in found or "id" not in found:
            return data, _messages(found)
        case _:
            return found, []


def _status_within(found: Mapping[str, Any], status: int) -> int:
    """The error's own status, under an HTTP status that claims success."""
    own = found.get("status")
    return own if isinstance(own, int) and 400 <= own <= 599 else status


def _messages(found: Mapping[str, Any]) -> Messages:
    messages = found.get("messages")
    return [entry for entry in messages if is_object(entry)] if is_array(messages) else []


# -- server side ---------------------------------------------------------------------------------------------------


class Dialect(Enum):
    """How the caller reads answers."""

    BARE = "bare"
    ENVELOPE = "envelope"


def choose(headers: Mapping[str, str]) -> Dialect:
    """The dialect of a request: bare for `X-API-Version: 2`, or without that header behind the JavaScript SDK's proxy.

    The proxy drops the header and its SDK expects bare bodies all the same (protocol.md 1.6).
    """
    version = header(headers, "X-API-Version")
    if version is None:
        return Dialect.ENVELOPE if header(headers, "x-inf-proxy") is None else Dialect.BARE
    return Dialect.BARE if version.strip() == "2" else Dialect.ENVELOPE


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: status, Content-Type ("" for none) and body."""

    status: int
    media_type: str
    body: bytes


def dress(dialect: Dialect, status: int, data: Any, *, messages: Sequence[Mapping[str, Any]] = ()) -> Answer:
    """The answer to a request that went well; `data` is plain JSON data.

    In the envelope it is always 200 with a body: an SDK takes 204, or an empty 200, for a failure (rule 4).
    """
    match dialect:
        case Dialect.BARE if status == 204:
            return Answer(204, "", b"")
        case Dialect.BARE:
            return Answer(status, JSON, _json(data))
        case Dialect.ENVELOPE:
            whole = {"success": True, "status": 200, "data": data, "messages": list(messages)}
            return Answer(200, JSON, _json(whole))


def dress_error(dialect: Dialect, problem: Mapping[str, Any]) -> Answer:
    """The answer to a request that failed; `problem` comes from `problems.problem`.

    A 412 keeps `satisfied` and its `errors` at the top level in both dialects (rule 3).
    """
    status = problem.get("status")
    if not isinstance(status, int):
        raise LocalProtocolError(f"a problem without a status: {dict(problem)!r}; make it with problems.problem()")
    told = {**problem, "satisfied": False, "errors": problem.get("errors", [])} if status == 412 else dict(problem)
    match dialect:
        case Dialect.BARE:
            return Answer(status, PROBLEM_JSON, _json(told))
        case Dialect.ENVELOPE:
            return Answer(status, JSON, _json({"success": False, **told, "error": _error(told)}))


def _error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """The `error` member of dialect A; for a 412 with the first requirement's message, the only one its SDKs show."""
    errors: list[Any] = problem["errors"] if problem["status"] == 412 else []
    message = next((entry.get("message") for entry in errors if is_object(entry)), None)
    return {
        "code": str(problem.get("type", "")).removeprefix(ERROR_BASE),
        "message": message or problem.get("detail") or problem.get("title") or "",
        **{name: problem[name] for name in ERROR_MEMBERS if name in problem},
    }


def _json(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="null")
