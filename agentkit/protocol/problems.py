"""Error answers, both directions (protocol.md 1.3).

Client side, `error_from` makes the right exception of any answer that is not 2xx: an RFC 9457 problem, the older
`{"success": false, "error": ...}`, a 412 list, plain text or a proxy's HTML page. Server side, `problem` makes the RFC
9457 object of a code in the table `PROBLEMS`; `dialects.dress_error` then writes it the way the caller reads.

    >>> problem("not_found", "no chat 'c9'")["title"]
    'Not Found'
    >>> error_from(410, b'{"type":"https://api.inference.sh/errors/SESSION_ENDED","detail":"it ended"}', {})
    SessionEndedError('HTTP 410: it ended')
"""

from __future__ import annotations

import html
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import from_json

from agentkit.errors import (
    AlreadyResolvedError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InvalidInputError,
    LocalProtocolError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequirementError,
    RequirementsNotMetError,
    ServerError,
    SessionEndedError,
    SessionError,
    SessionExpiredError,
    SessionNotFoundError,
    WorkerLostError,
)
from agentkit.protocol.lines import is_array, is_object
from agentkit.protocol.retry import parse_retry_after

__all__ = ["ERROR_BASE", "PROBLEMS", "error_from", "header", "problem"]

ERROR_BASE: Final = "https://api.inference.sh/errors/"
MESSAGE_CHARACTERS: Final = 500
BODY_CHARACTERS: Final = 10_000
HTML_CHARACTERS: Final = 20_000  # of a page are looked through for its words

# code -> status and title. protocol.md 1.3, 3.4 and 9.2 (ErrorCode); where these give no status, the nearest one
PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    "invalid_request": (400, "Bad Request"),
    "invalid_scope": (400, "Invalid Scope"),
    "invalid_ttl": (400, "Invalid Time To Live"),
    "invalid_code": (400, "Invalid Code"),
    "impersonation_reason_required": (400, "Impersonation Reason Required"),
    "code_confirmation_required": (400, "Code Confirmation Required"),
    "harness_not_drivable": (400, "Harness Not Drivable"),
    "harness_too_old": (400, "Harness Too Old"),
    "APP_MISMATCH": (400, "Session Belongs To Another App"),  # protocol.md 10, #24: 400, not 409
    "VERSION_MISMATCH": (400, "Session Belongs To Another Version"),
    "unauthorized": (401, "Unauthorized"),
    "mcp_auth_expired": (401, "MCP Authorization Expired"),
    "limit_exceeded": (402, "Limit Exceeded"),
    "payment_required": (402, "Payment Required"),
    "payment_method_required": (402, "Payment Method Required"),
    "forbidden": (403, "Forbidden"),
    "insufficient_scope": (403, "Insufficient Scope"),
    "feature_not_available": (403, "Feature Not Available"),
    "entitlement_unavailable": (403, "Entitlement Unavailable"),
    "requires_sign_in": (403, "Sign-In Required"),
    "team_role_required": (403, "Team Role Required"),
    "blocked_by_usage_policy": (403, "Blocked By Usage Policy"),
    "otp_required": (403, "One-Time Password Required"),
    "person_required": (403, "Person Required"),
    "account_banned": (403, "Account Banned"),
    "account_deactivated": (403, "Account Deactivated"),
    "admin_required": (403, "Admin Required"),
    "same_admin_required": (403, "Same Admin Required"),
    "admin_session_required": (403, "Admin Session Required"),
    "admin_scopes_not_approved": (403, "Admin Scopes Not Approved"),
    "admin_authenticator_required": (403, "Admin Authenticator Required"),
    "cli_session_required": (403, "CLI Session Required"),
    "browser_session_required": (403, "Browser Session Required"),
    "agents_disabled": (403, "Agents Disabled"),
    "not_found": (404, "Not Found"),
    "SESSION_NOT_FOUND": (404, "Session Not Found"),
    "method_not_allowed": (405, "Method Not Allowed"),
    "conflict": (409, "Conflict"),
    "name_conflict": (409, "Name Conflict"),
    "already_exists": (409, "Already Exists"),
    "already_submitted": (409, "Already Submitted"),
    "already_claimed": (409, "Already Claimed"),
    "already_entitled": (409, "Already Entitled"),
    "already_processed": (409, "Already Processed"),
    "request_open": (409, "Request Open"),
    "last_owner": (409, "Last Owner"),
    "last_authenticator": (409, "Last Authenticator"),
    "invalid_transition": (409, "Invalid Transition"),
    "not_configured": (409, "Not Configured"),
    "WORKER_LEASED": (409, "Worker Leased"),
    "expired": (410, "Expired"),
    "form_closed": (410, "Form Closed"),
    "app_retired": (410, "App Retired"),
    "SESSION_EXPIRED": (410, "Session Expired"),
    "SESSION_ENDED": (410, "Session Ended"),
    "requirements_not_met": (412, "Requirements Not Met"),
    "validation_error": (422, "Invalid Input"),
    "rate_limited": (429, "Too Many Requests"),
    "internal_error": (500, "Internal Error"),
    "remote_offline": (503, "Remote Offline"),
    "app_maintenance": (503, "App In Maintenance"),
    "remote_timeout": (504, "Remote Timeout"),
    # our own runtime's
    "already_resolved": (409, "Already Resolved"),  # design.md 5: the first answer wins; member `winner`
    "chat_busy": (409, "Chat Busy"),
    "idempotency_conflict": (409, "Idempotency Key Used For Another Request"),
    "cursor_too_old": (410, "Cursor Too Old"),
    "payload_too_large": (413, "Payload Too Large"),
    "unsupported_media_type": (415, "Unsupported Media Type"),
    "task_failed": (422, "Task Failed"),  # protocol.md 2.1: a waited-for task, under the member `task`
    "task_cancelled": (422, "Task Cancelled"),
    "WORKER_LOST": (500, "Worker Lost"),  # protocol.md 3.4 has the status, nobody a code
    "not_implemented": (501, "Not Implemented"),
    "unavailable": (503, "Service Unavailable"),
}


def problem(code: str, detail: str, *, status: int | None = None, **members: Any) -> dict[str, Any]:
    """The RFC 9457 object of a code in `PROBLEMS`; `members` are its extension members (`errors`, `winner`, `task`).

    `status` replaces the table's. A code that the table lacks is a bug of ours: LocalProtocolError.
    """
    if code not in PROBLEMS:
        raise LocalProtocolError(f"problem code {code!r} is not in PROBLEMS; add it there with its status and title")
    usual, title = PROBLEMS[code]
    return {"type": f"{ERROR_BASE}{code}", "title": title, "status": status or usual, "detail": detail, **members}


def header(headers: Mapping[str, str], name: str) -> str | None:
    """The header's value, whatever the case of its name and of the mapping's keys; None where absent."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


# -- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reading:
    """An error answer taken apart; all that the classes below may want of it."""

    status: int
    code: str
    message: str
    text: str
    retry_after_seconds: float | None
    members: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def common(self) -> dict[str, Any]:
        return {"code": self.code, "retry_after_seconds": self.retry_after_seconds}


def error_from(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> APIError:
    """The exception of an answer that is not 2xx: its class by error code, else by status. Never raises itself.

    `now` (seconds since 1970) is needed where `Retry-After` or `X-RateLimit-Reset` names a moment.
    """
    reading = _read(status, body, headers, now=now)
    if reading.code == "requirements_not_met" or (status == 412 and is_array(reading.members.get("errors"))):
        return _requirements(reading)
    kind = _CLASS_OF_CODE.get(reading.code) or _class_of(status)
    extra = [_EXTRAS[base](reading) for base in kind.__mro__ if base in _EXTRAS]
    return kind(status, reading.message, reading.text, **dict(ChainMap(reading.common(), *extra)))


_CLASS_OF_CODE: Final[Mapping[str, type[APIError]]] = {  # protocol.md 3.4; the SDKs document these and never raise them
    "SESSION_NOT_FOUND": SessionNotFoundError,
    "SESSION_EXPIRED": SessionExpiredError,
    "SESSION_ENDED": SessionEndedError,
    "WORKER_LEASED": SessionError,
    "APP_MISMATCH": SessionError,
    "VERSION_MISMATCH": SessionError,
    "WORKER_LOST": WorkerLostError,
    "worker_lost": WorkerLostError,
    "already_resolved": AlreadyResolvedError,
    "validation_error": InvalidInputError,  # 400 or 422
    "rate_limited": RateLimitError,
}

_CLASS_OF_STATUS: Final[Mapping[int, type[APIError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: BadRequestError,
    409: ConflictError,
    410: NotFoundError,
    413: BadRequestError,
    415: BadRequestError,
    422: InvalidInputError,
    429: RateLimitError,
}


def _class_of(status: int) -> type[APIError]:
    return _CLASS_OF_STATUS.get(status, ServerError if 500 <= status <= 599 else APIError)


def _session(reading: _Reading) -> dict[str, Any]:
    session_id = reading.members.get("session_id")
    return {"session_id": session_id if isinstance(session_id, str) else None}


def _winner(reading: _Reading) -> dict[str, Any]:
    return {"winner": _dict(reading.members.get("winner"))}


def _input_errors(reading: _Reading) -> dict[str, Any]:
    entries = _list(reading.members.get("errors"))
    return {"errors": [entry if is_object(entry) else {"path": "", "message": str(entry)} for entry in entries]}


_EXTRAS: Final[Mapping[type, Callable[[_Reading], dict[str, Any]]]] = {
    SessionError: _session,
    AlreadyResolvedError: _winner,
    InvalidInputError: _input_errors,
}


def _requirements(reading: _Reading) -> RequirementsNotMetError:
    entries = [
        _requirement(entry, message=reading.message)
        for entry in _list(reading.members.get("errors"))
        if is_object(entry)
    ]
    found = entries or [RequirementError("", "", reading.message)]
    code = reading.code or "requirements_not_met"
    return RequirementsNotMetError(
        found, reading.status, reading.text, code=code, retry_after_seconds=reading.retry_after_seconds
    )


def _requirement(entry: Mapping[str, Any], *, message: str) -> RequirementError:
    """`RequirementError.from_dict` of an entry whose `action` may be anything; `message` where it has none."""
    action = _dict(entry.get("action"))
    told = {**entry, "message": entry.get("message") or message}
    return RequirementError.from_dict(
        {**told, "action": action and {**action, "scopes": _list(action.get("scopes")) or None}}
    )


def _read(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None) -> _Reading:
    text = body.decode("utf-8-sig", errors="replace")
    found = _members(body)
    message = _message(found) or (_page_text(text) if _is_page(text, headers) else text.strip()) or _phrase(status)
    return _Reading(
        status,
        _code(found),
        message[:MESSAGE_CHARACTERS],
        text[:BODY_CHARACTERS],
        _retry_after(found, headers, now=now),
        found,
    )


def _members(body: bytes) -> dict[str, Any]:
    """The members of a JSON error, those of `error.meta` included where the top level lacks them (dialect A)."""
    try:
        data = from_json(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return {}
    top = _dict(data)
    return {**_dict(_dict(top.get("error")).get("meta")), **top}


def _message(found: Mapping[str, Any]) -> str:
    """In the SDKs' order: detail, title, message; then the older `error.message` and `error` as text."""
    error = found.get("error")
    candidates = (*(found.get(name) for name in ("detail", "title", "message")), _dict(error).get("message"), error)
    return next((text.strip() for text in candidates if isinstance(text, str) and text.strip()), "")


def _code(found: Mapping[str, Any]) -> str:
    """The last segment of `type` behind `/errors/`, else `error.code`, else `code`; "" where there is none."""
    type = found.get("type")
    _, _, by_type = type.rpartition("/errors/") if isinstance(type, str) and "/errors/" in type else ("", "", "")
    candidates = (by_type, _dict(found.get("error")).get("code"), found.get("code"))
    return next((code for code in candidates if isinstance(code, str) and code), "")


def _retry_after(found: Mapping[str, Any], headers: Mapping[str, str], *, now: float | None) -> float | None:
    asked = header(headers, "Retry-After")
    if asked is not None and (seconds := parse_retry_after(asked, now=now)) is not None:
        return seconds
    for name in ("retry_after_seconds", "retry_after"):
        seconds = found.get(name)
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < float("inf"):
            return float(seconds)
    return _until_reset(headers, now=now)


def _until_reset(headers: Mapping[str, str], *, now: float | None) -> float | None:
    """The seconds to `X-RateLimit-Reset` (unix time), where the limit is used up (protocol.md 1.4)."""
    reset = header(headers, "X-RateLimit-Reset") or ""
    if now is None or header(headers, "X-RateLimit-Remaining") != "0" or not re.fullmatch(r"[0-9]{1,12}", reset):
        return None
    return max(0.0, float(reset) - now)


def _is_page(text: str, headers: Mapping[str, str]) -> bool:
    return "html" in (header(headers, "Content-Type") or "").lower() or text.lstrip()[:1] == "<"


def _page_text(page: str) -> str:
    """The words of an HTML page, its title first, without tags, scripts and styles."""
    page = page[:HTML_CHARACTERS]
    for pattern in (r"<!--.*?(-->|$)", r"<(script|style)\b.*?(</\1\s*>|$)", r"<[^>]*(>|$)"):
        page = re.sub(pattern, " ", page, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(html.unescape(page).split())


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Request failed"


def _dict(value: Any) -> dict[str, Any]:
    return value if is_object(value) else {}


def _list(value: Any) -> list[Any]:
    return value if is_array(value) else []
