"""Errors as they travel: RFC 9457 problems, the older wrapped form, and unmet requirements (protocol.md 1.2, 1.3)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from agentkit.wire._base import Open, Wire
from agentkit.wire.workspace import RequirementType, SetupActionType

__all__ = [
    "PROBLEM_TYPE",
    "ApiErrorBody",
    "Envelope",
    "ErrorCode",
    "Problem",
    "RequirementsProblem",
    "ResponseMessage",
    "SetupActionBody",
    "UnmetRequirement",
]

PROBLEM_TYPE: Final = "https://api.inference.sh/errors/"
"""What a problem's `type` begins with; the code follows."""


class ErrorCode(StrEnum):
    """The platform's error codes (protocol.md 9.2); those of sessions are in capitals on the wire, too."""

    INVALID_REQUEST = "invalid_request"
    VALIDATION_ERROR = "validation_error"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    NAME_CONFLICT = "name_conflict"
    ALREADY_EXISTS = "already_exists"
    NOT_CONFIGURED = "not_configured"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    RATE_LIMITED = "rate_limited"
    INTERNAL_ERROR = "internal_error"
    REQUIREMENTS_NOT_MET = "requirements_not_met"
    TEAM_ROLE_REQUIRED = "team_role_required"
    BLOCKED_BY_USAGE_POLICY = "blocked_by_usage_policy"
    LAST_OWNER = "last_owner"
    ACCOUNT_DEACTIVATED = "account_deactivated"
    ACCOUNT_BANNED = "account_banned"
    PERSON_REQUIRED = "person_required"
    OTP_REQUIRED = "otp_required"
    REQUIRES_SIGN_IN = "requires_sign_in"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    INVALID_SCOPE = "invalid_scope"
    IMPERSONATION_REASON_REQUIRED = "impersonation_reason_required"
    MCP_AUTH_EXPIRED = "mcp_auth_expired"
    ADMIN_SESSION_REQUIRED = "admin_session_required"
    ADMIN_SCOPES_NOT_APPROVED = "admin_scopes_not_approved"
    CLI_SESSION_REQUIRED = "cli_session_required"
    ADMIN_REQUIRED = "admin_required"
    SAME_ADMIN_REQUIRED = "same_admin_required"
    BROWSER_SESSION_REQUIRED = "browser_session_required"
    INVALID_TTL = "invalid_ttl"
    ADMIN_AUTHENTICATOR_REQUIRED = "admin_authenticator_required"
    LAST_AUTHENTICATOR = "last_authenticator"
    LIMIT_EXCEEDED = "limit_exceeded"
    FEATURE_NOT_AVAILABLE = "feature_not_available"
    ENTITLEMENT_UNAVAILABLE = "entitlement_unavailable"
    PAYMENT_REQUIRED = "payment_required"
    PAYMENT_METHOD_REQUIRED = "payment_method_required"
    FORM_CLOSED = "form_closed"
    ALREADY_SUBMITTED = "already_submitted"
    ALREADY_CLAIMED = "already_claimed"
    ALREADY_ENTITLED = "already_entitled"
    REQUEST_OPEN = "request_open"
    INVALID_CODE = "invalid_code"
    ALREADY_PROCESSED = "already_processed"
    EXPIRED = "expired"
    CODE_CONFIRMATION_REQUIRED = "code_confirmation_required"
    APP_RETIRED = "app_retired"
    APP_MAINTENANCE = "app_maintenance"
    INVALID_TRANSITION = "invalid_transition"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    SESSION_ENDED = "SESSION_ENDED"
    WORKER_LEASED = "WORKER_LEASED"
    APP_MISMATCH = "APP_MISMATCH"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    AGENTS_DISABLED = "agents_disabled"
    REMOTE_OFFLINE = "remote_offline"
    REMOTE_TIMEOUT = "remote_timeout"
    HARNESS_NOT_DRIVABLE = "harness_not_drivable"
    HARNESS_TOO_OLD = "harness_too_old"


class Problem(Wire):
    """An RFC 9457 problem; further members are the code's own."""

    type: str = ""
    title: str = ""
    status: int | None = None
    detail: str = ""
    instance: str | None = None

    @property
    def code(self) -> str:
        """The error code: what follows `/errors/` in `type`, "" where nothing does."""
        return self.type.partition("/errors/")[2]


class ApiErrorBody(Wire):
    """The `error` of the wrapped form (dialect A)."""

    code: str = ""
    message: str = ""
    suggestions: list[str] | None = None
    meta: dict[str, Any] | None = None


class ResponseMessage(Wire):
    """A remark beside an answer (dialect C): `level` is info or warning, among others."""

    level: str = ""
    code: str = ""
    message: str = ""
    meta: dict[str, Any] | None = None


class Envelope(Wire):
    """What the wrapped dialects put around an answer: A has `success`, `status`, `error`, C has `messages`."""

    success: bool | None = None
    status: int | None = None
    data: Any = None
    error: ApiErrorBody | None = None
    messages: list[ResponseMessage] | None = None


class SetupActionBody(Wire):
    """What would meet a requirement."""

    type: Open[SetupActionType] = ""
    provider: str | None = None
    scopes: list[str] | None = None


class UnmetRequirement(Wire):
    """One thing that is missing, with the sentence for the person who can add it."""

    type: Open[RequirementType] = ""
    key: str = ""
    message: str = ""
    action: SetupActionBody | None = None


class RequirementsProblem(Wire):
    """The body of a 412, never wrapped."""

    satisfied: bool = False
    errors: list[UnmetRequirement] = Field(default_factory=list[UnmetRequirement])
