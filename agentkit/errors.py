"""Every exception of agentkit, and nothing else.

    AgentKitError
    ├── UsageError                      the program is wrong; raised early, never retried (also a ValueError)
    │   ├── ConfigError                 a key, URL, path or setting is missing or impossible
    │   ├── ToolDefinitionError         a tool, parameter or handler cannot mean what was written
    │   ├── SchemaError                 a JSON Schema that is not one
    │   ├── ReferenceSyntaxError        not a `namespace/name[@version][:function]`
    │   └── MissingExtraError           an optional package is needed; says the pip command (also an ImportError)
    ├── TransportError                  no usable answer came (also an OSError, as the SDK's retries expect)
    │   ├── ConnectError                nobody there, or the connection broke
    │   ├── TimeoutError                somebody there, but silent (also a builtin TimeoutError)
    │   └── StreamError                 a stream that cannot be read; `reason` says why
    ├── ProtocolError
    │   ├── LocalProtocolError          our own driver did what a table does not allow: a bug of ours
    │   └── RemoteProtocolError         the platform answered what the protocol does not allow
    ├── APIError                        an answer that is not 2xx: status_code, message, response_body, code
    │   ├── BadRequestError             400, 405, 413, 415
    │   ├── AuthenticationError         401
    │   ├── PaymentRequiredError        402
    │   ├── PermissionDeniedError       403
    │   ├── NotFoundError               404, 410
    │   │   └── (session leaves below)
    │   ├── ConflictError               409
    │   │   └── AlreadyResolvedError    somebody else answered first; `winner` says who and what
    │   ├── RequirementsNotMetError     412; `errors` lists what is missing
    │   ├── InvalidInputError           422; `errors` lists path and message
    │   ├── RateLimitError              429; `retry_after_seconds`
    │   ├── ServerError                 5xx
    │   └── SessionError                session_id
    │       ├── SessionNotFoundError    404 SESSION_NOT_FOUND
    │       ├── SessionExpiredError     410 SESSION_EXPIRED
    │       ├── SessionEndedError       410 SESSION_ENDED
    │       └── WorkerLostError         500, the worker died
    ├── RunError                        a turn that did not end well: chat_id, run_id, outcome
    │   ├── RunFailedError              the platform says failed, rejected or refused
    │   ├── RunCanceledError            stopped
    │   ├── RunLostError                no news of it any more; it may be going on
    │   ├── ApprovalNeededError         parked on a person and `when_parked="raise"`; `pending` lists what waits
    │   └── OutputError                 the output misses its schema, or there is none; `attempts`
    ├── TaskError                       a task that did not end well (also a RuntimeError); task_id, task, outcome
    │   ├── TaskFailedError             the platform says failed, or rejected
    │   ├── TaskCanceledError           somebody cancelled it
    │   ├── TaskLostError               no news of it any more; it may be going on
    │   └── TaskTimeoutError            not over in the time given (also a builtin TimeoutError); it goes on
    ├── ToolError                       a client tool could not be run or answered
    │   ├── ToolArgumentsError          the arguments miss the tool's schema; `errors` lists path and message
    │   └── ToolResultError             the handler returned what JSON cannot carry
    ├── AppError                        an app could not be made ready, set up or run
    │   ├── AppDefinitionError          folder, inf.yml or class cannot mean what was written (also a UsageError)
    │   ├── AppInputError               input or setup misses its model; `errors` lists path and message
    │   ├── AppOutputError              a function gave what its output does not allow; `errors` as above
    │   └── FileError                   a file could not be fetched, decoded or found (also a ValueError)
    └── RuntimeFault                    the embedded runtime itself
        ├── StoreError                  the database: locked, newer than this version, unreadable, full
        └── ModelError                  a model provider; `retryable`, `status_code`
            ├── ModelNotFoundError      nobody here answers to that reference
            └── ModelRefusedError       the model declined to answer

Messages name the thing, what is wrong and the next step; none ever holds a key or a secret.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentkit.wire import Task

__all__ = [
    "APIError",
    "AgentKitError",
    "AlreadyResolvedError",
    "AppDefinitionError",
    "AppError",
    "AppInputError",
    "AppOutputError",
    "ApprovalNeededError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "FileError",
    "InvalidInputError",
    "LocalProtocolError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "ModelRefusedError",
    "NotFoundError",
    "OutputError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "ProtocolError",
    "RateLimitError",
    "ReferenceSyntaxError",
    "RemoteProtocolError",
    "RequirementError",
    "RequirementsNotMetError",
    "RunCanceledError",
    "RunError",
    "RunFailedError",
    "RunLostError",
    "RuntimeFault",
    "SchemaError",
    "ServerError",
    "SessionEndedError",
    "SessionError",
    "SessionExpiredError",
    "SessionNotFoundError",
    "SetupAction",
    "StoreError",
    "StreamError",
    "TaskCanceledError",
    "TaskError",
    "TaskFailedError",
    "TaskLostError",
    "TaskTimeoutError",
    "TimeoutError",
    "ToolArgumentsError",
    "ToolDefinitionError",
    "ToolError",
    "ToolResultError",
    "TransportError",
    "UsageError",
    "WorkerLostError",
]


class AgentKitError(Exception):
    """The root: `except AgentKitError` catches whatever agentkit raises on purpose."""


# -- the program is wrong ------------------------------------------------------------------------------------------


class UsageError(AgentKitError, ValueError):
    """The call cannot mean anything; change the program."""


class ConfigError(UsageError):
    """A key, URL, path or setting is missing or impossible."""


class ToolDefinitionError(UsageError):
    """A tool, one of its parameters or its handler cannot mean what was written."""


class SchemaError(UsageError):
    """A JSON Schema that is not one."""


class ReferenceSyntaxError(UsageError):
    """Text that is no `namespace/name[@version][:function]`."""


class MissingExtraError(UsageError, ImportError):
    """An optional package is needed; the message is the pip command."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'agentkit[{extra}]'")
        self.extra = extra

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, self.__dict__)


# -- no usable answer ----------------------------------------------------------------------------------------------


class TransportError(AgentKitError, OSError):
    """No usable answer came. `maybe_sent` is True where the request may have taken effect all the same."""

    def __init__(self, message: str, *, maybe_sent: bool = False) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, self.__dict__)


class ConnectError(TransportError):
    """Nobody is there, or the connection broke."""


class TimeoutError(TransportError, builtins.TimeoutError):
    """Somebody is there, but silent for longer than allowed."""


class StreamError(TransportError):
    """A stream that cannot be read. `reason`: bad_line, too_long, content_type, cut, too_old."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProtocolError(AgentKitError):
    """Somebody did what the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """We did: a bug of agentkit."""


class RemoteProtocolError(ProtocolError):
    """The platform did."""


# -- an answer that is not 2xx -------------------------------------------------------------------------------------


class APIError(AgentKitError):
    """An answer that is not 2xx. `str()` is `HTTP <status>: <message>`, as in the SDK.

    `code` is the platform's error code (`not_found`, `SESSION_EXPIRED`), "" where it sent none; `response_body` the
    text of the answer, cut at 10,000 characters.
    """

    def __init__(
        self,
        status_code: int,
        message: str,
        response_body: str | None = None,
        *,
        code: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"HTTP {status_code}: {message}")
        self.status_code = status_code
        self.message = message
        self.response_body = response_body
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, self.__dict__)


class BadRequestError(APIError):
    """400, 405, 413, 415: the platform does not take this request."""


class AuthenticationError(APIError):
    """401: the key is missing, wrong or revoked."""


class PaymentRequiredError(APIError):
    """402: a limit or the balance."""


class PermissionDeniedError(APIError):
    """403: the key may not do this."""


class NotFoundError(APIError):
    """404, 410: there is no such thing, or no longer."""


class ConflictError(APIError):
    """409: the thing is not in a state that allows this."""


class AlreadyResolvedError(ConflictError):
    """409 `already_resolved`: the first answer won, and it was not this one. `winner` is its record."""

    winner: Mapping[str, Any]

    def __init__(self, *args: Any, winner: Mapping[str, Any] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.winner = winner or {}


class InvalidInputError(APIError):
    """422: `errors` lists `{"path", "message"}` of what is wrong in the input."""

    errors: Sequence[Mapping[str, Any]]

    def __init__(self, *args: Any, errors: Sequence[Mapping[str, Any]] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.errors = list(errors)


class RateLimitError(APIError):
    """429: too many requests; `retry_after_seconds` where the platform said."""


class ServerError(APIError):
    """5xx."""


class SetupAction:
    """What would meet a requirement: `type` is add_secret, connect or add_scopes."""

    def __init__(self, type: str, provider: str | None = None, scopes: Sequence[str] | None = None) -> None:
        self.type = type
        self.provider = provider
        self.scopes = list(scopes) if scopes is not None else None

    def __repr__(self) -> str:
        return f"SetupAction(type={self.type!r}, provider={self.provider!r}, scopes={self.scopes!r})"


class RequirementError:
    """One unmet requirement: `type` is secret, integration (or credential), or scope."""

    def __init__(self, type: str, key: str, message: str, action: SetupAction | None = None) -> None:
        self.type = type
        self.key = key
        self.message = message
        self.action = action

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RequirementError:
        """The requirement of one entry of a 412 body."""
        action = data.get("action")
        return cls(
            str(data.get("type", "")),
            str(data.get("key", "")),
            str(data.get("message", "")),
            SetupAction(str(action.get("type", "")), action.get("provider"), action.get("scopes")) if action else None,
        )

    def __repr__(self) -> str:
        return f"RequirementError(type={self.type!r}, key={self.key!r}, message={self.message!r})"


class RequirementsNotMetError(APIError):
    """412: secrets, integrations or scopes are missing; `errors` lists them."""

    def __init__(
        self,
        errors: Sequence[RequirementError],
        status_code: int = 412,
        response_body: str | None = None,
        *,
        code: str = "requirements_not_met",
        retry_after_seconds: float | None = None,
    ) -> None:
        message = errors[0].message if errors else "requirements not met"
        super().__init__(status_code, message, response_body, code=code, retry_after_seconds=retry_after_seconds)
        self.errors = list(errors)

    @classmethod
    def from_response(cls, data: Mapping[str, Any], status_code: int = 412) -> RequirementsNotMetError:
        """The error of a decoded 412 body."""
        return cls([RequirementError.from_dict(entry) for entry in data.get("errors") or ()], status_code)


class SessionError(APIError):
    """An app session cannot be used; `session_id` names it where known."""

    session_id: str | None

    def __init__(self, *args: Any, session_id: str | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.session_id = session_id


class SessionNotFoundError(SessionError):
    """404 SESSION_NOT_FOUND."""


class SessionExpiredError(SessionError):
    """410 SESSION_EXPIRED: idle for longer than its timeout."""


class SessionEndedError(SessionError):
    """410 SESSION_ENDED."""


class WorkerLostError(SessionError):
    """The worker behind the session died."""


# -- a turn that did not end well ----------------------------------------------------------------------------------


class RunError(AgentKitError):
    """A turn that did not end well. `outcome` is the turn machine's word for it."""

    def __init__(
        self,
        message: str,
        *,
        outcome: str,
        chat_id: str | None = None,
        run_id: str | None = None,
        maybe_sent: bool = False,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.chat_id = chat_id
        self.run_id = run_id
        self.maybe_sent = maybe_sent

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, self.__dict__)


class RunFailedError(RunError):
    """The platform says failed or rejected, or refused the message."""


class RunCanceledError(RunError):
    """The run was stopped."""


class RunLostError(RunError):
    """No news of the run any more: it may be going on; `client.agents.resume(chat_id)` looks."""


class ApprovalNeededError(RunError):
    """The run waits for a person and nobody here answers; `pending` lists the interrupts."""

    pending: Sequence[Any] = ()


class OutputError(RunError):
    """The output misses its schema, or there is none; `attempts` holds what was tried and why it was wrong."""

    attempts: Sequence[Any] = ()


# -- tasks ---------------------------------------------------------------------------------------------------------


class TaskError(AgentKitError, RuntimeError):
    """A task that did not end well. `task` is what was heard of it last, `task_id` names it."""

    def __init__(self, message: str, *, outcome: str, task_id: str | None = None, task: Task | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.task_id = task_id
        self.task = task

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, self.__dict__)


class TaskFailedError(TaskError):
    """The platform says failed, or rejected; the text is the task's `error`."""


class TaskCanceledError(TaskError):
    """The task was cancelled."""


class TaskLostError(TaskError):
    """No news of the task any more: it may be going on; `client.tasks.get(task_id)` looks."""


class TaskTimeoutError(TaskError, builtins.TimeoutError):
    """The task was not over in the time given. It goes on; `client.tasks.cancel(task_id)` ends it."""


# -- client tools --------------------------------------------------------------------------------------------------


class ToolError(AgentKitError):
    """A client tool could not be run or answered."""


class ToolArgumentsError(ToolError):
    """The arguments miss the tool's schema; `errors` lists `{"path", "message"}`."""

    errors: Sequence[Mapping[str, Any]] = ()


class ToolResultError(ToolError):
    """A handler returned something that JSON cannot carry."""


# -- apps ----------------------------------------------------------------------------------------------------------


class AppError(AgentKitError):
    """An app could not be made ready, set up or run."""


class AppDefinitionError(AppError, UsageError):
    """An app's folder, manifest, class or one of its methods cannot mean what was written."""


class AppInputError(AppError):
    """The input or setup misses its model; `errors` lists `{"path", "message"}`."""

    errors: Sequence[Mapping[str, Any]] = ()


class AppOutputError(AppError):
    """A function gave what its output model does not allow; `errors` lists `{"path", "message"}`."""

    errors: Sequence[Mapping[str, Any]] = ()


class FileError(AppError, ValueError):
    """A file could not be fetched, decoded or found; the message names it. Inside a model it is a field's error."""


# -- the embedded runtime ------------------------------------------------------------------------------------------


class RuntimeFault(AgentKitError):
    """The embedded runtime itself failed."""


class StoreError(RuntimeFault):
    """The database: locked, newer than this version, unreadable or full."""


class ModelError(RuntimeFault):
    """A model provider failed. `retryable` says whether the same request may be sent again."""

    def __init__(self, message: str, *, retryable: bool = False, status_code: int | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status_code = status_code

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, self.__dict__)


class ModelNotFoundError(ModelError):
    """Nobody here answers to that model reference."""


class ModelRefusedError(ModelError):
    """The model declined to answer."""


def _rebuild(kind: type[AgentKitError], args: tuple[Any, ...], state: dict[str, Any]) -> AgentKitError:
    """Unpickles an exception whose `__init__` takes more than its message."""
    base = OSError if issubclass(kind, OSError) else Exception  # the one whose layout the class has
    error: AgentKitError = base.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
