"""Answers as they leave: data or a problem, in the dialect of the caller (protocol.md 1.2, 1.3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agentkit.errors import StoreError
from agentkit.protocol.dialects import Answer, Dialect, dress, dress_error
from agentkit.protocol.problems import problem
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import new_id

__all__ = ["failed", "good"]

logger = logging.getLogger("agentkit.server")

SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
RETRY_SECONDS = 1
_MORE_HEADERS: Mapping[str, Mapping[str, str]] = {
    "unauthorized": {"WWW-Authenticate": "Bearer"},
    "unavailable": {"Retry-After": str(RETRY_SECONDS)},
}
_HEADERS = {"allow": "Allow", "retry_after": "Retry-After"}  # what a fault says in a header


def good(dialect: Dialect, data: Any, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that went well; always 200 with a body (protocol.md 10, #60)."""
    return _response(dress(dialect, 200, data), headers or {})


def failed(dialect: Dialect, error: Exception, *, method: str, path: str) -> Response:
    """The answer to a request that raised; what nobody foresaw is logged and named by an id."""
    fault = _fault(error, method=method, path=path)
    members, headers = dict(fault.members), dict(_MORE_HEADERS.get(fault.code, {}))
    headers |= {name: str(members.pop(member)) for member, name in _HEADERS.items() if member in members}
    return _response(dress_error(dialect, problem(fault.code, fault.detail, **members)), headers)


def _fault(error: Exception, *, method: str, path: str) -> Fault:
    match error:
        case Fault():
            return error
        case ValidationError():
            return _invalid(error)
        case ClientDisconnect():
            return Fault("invalid_request", "the body was cut off")
        case StoreError():
            logger.error("%s %s: %s", method, path, error)
            return Fault("unavailable", "the database cannot be used right now; try again")
        case _:
            id = new_id()
            logger.error("%s %s: unexpected error %s", method, path, id, exc_info=error)
            return Fault("internal_error", f"internal error {id}; the server's log says more", error_id=id)


def _invalid(error: ValidationError) -> Fault:
    errors = [
        {"path": ".".join(map(str, each["loc"])), "message": each["msg"]}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    told = "; ".join(f"{each['path'] or '(whole body)'}: {each['message']}" for each in errors[:3])
    return Fault("validation_error", told, errors=errors)


def _response(answer: Answer, headers: Mapping[str, str]) -> Response:
    response = Response(answer.body, answer.status, {**SAFE_HEADERS, **headers})
    response.headers["content-type"] = (
        answer.media_type
    )  # exactly: a charset would be a parameter more (protocol.md 1.2)
    return response
