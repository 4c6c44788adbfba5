"""What POST /run and POST /apps/run ask for: checked, resolved, and placed as a task.

order = orders.resolve(tx, request, owner=owner)      # reads
task = orders.place(tx, order, task_id=..., engine_id=...)  # writes, in the transaction of the answer
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from agentkit.errors import ReferenceSyntaxError
from agentkit.protocol.refs import Reference
from agentkit.runtime import sessions
from agentkit.runtime.appinputs import check_input, check_requirements, check_runnable, check_setup
from agentkit.runtime.apprefs import ResolvedApp, choose_function, readable_app, resolve_app, version_of
from agentkit.runtime.credentials.needs import Holdings
from agentkit.runtime.faults import Fault
from agentkit.runtime.moments import later
from agentkit.runtime.moves import entry, session_wake, task_wake
from agentkit.runtime.ports import Reading, Ticket, Writing
from agentkit.runtime.records import SessionRecord, TaskRecord
from agentkit.wire import Infra, RunTaskRequest, TaskStatus

__all__ = ["DEFAULT_IDLE_SECONDS", "NEW", "Caller", "Order", "check", "place", "resolve", "ticket"]

NEW: Final = "new"
DEFAULT_IDLE_SECONDS: Final = 60  # seeds/003; protocol.md 10, #23
SHORTEST_IDLE_SECONDS, LONGEST_IDLE_SECONDS = 1, 3600  # seeds/002, "Request"
LATE: Final = timedelta(minutes=1)  # a moment so long ago was in the future by a clock that is a little off
LONGEST_URL: Final = 8_192


@dataclass(frozen=True, slots=True)
class Caller:
    """The tool call that a task answers; see the fields of the same names in TaskRecord."""

    invocation_id: str
    chat_id: str
    agent_id: str | None
    result_chars: int


@dataclass(frozen=True, slots=True)
class Order:
    """A run, everything in it resolved. `session_id` is that of a session that exists; `is_new_session` begins one."""

    owner: str
    app_id: str
    version_id: str
    function: str | None
    input: Any
    setup: Any
    session_id: str | None = None
    is_new_session: bool = False
    idle_seconds: int = DEFAULT_IDLE_SECONDS
    infra: str | None = None
    workers: list[str] = field(default_factory=list[str])
    webhook: str | None = None
    run_at: str | None = None
    is_idempotent: bool = False
    timeout_seconds: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    idempotency_key: str | None = None
    caller: Caller | None = None


def check(request: RunTaskRequest, *, now: datetime) -> str | None:
    """Refuses what no platform could run; returns `run_at` in the store's form, None for now. Raises Fault."""
    if bool(request.app) is bool(request.app_id):
        raise Fault("invalid_request", "name the app to run as `app` (namespace/name) or as `app_id`, one of the two")
    if request.infra is not None and request.infra not in tuple(Infra):
        raise Fault("invalid_request", f"infra is one of {', '.join(Infra)}, not {str(request.infra)!r}")
    if request.webhook:
        _check_webhook(request.webhook)
    _check_session(request)
    return _run_at(request.run_at, now=now) if request.run_at else None


def resolve(tx: Reading, request: RunTaskRequest, *, owner: str, run_at: str | None, have: Holdings) -> Order:
    """The order of a request that was checked. Raises Fault: 404, 400, 422, 412, and the session's own (3.4)."""
    session = sessions.active(tx, request.session, owner=owner) if request.session not in (None, "", NEW) else None
    app, version, function = _of_session(tx, session, request) if session else _named(tx, request, owner=owner)
    setup = session.setup if session else request.setup or None
    check_runnable(version)
    check_setup(version, setup)
    check_input(version, function, request.input)
    check_requirements(version, have)
    metadata = version.config.metadata
    return Order(
        owner=owner,
        app_id=app.id,
        version_id=version.id,
        function=function,
        input={} if request.input is None else request.input,
        setup=setup,
        session_id=session.id if session else None,
        is_new_session=request.session == NEW,
        idle_seconds=DEFAULT_IDLE_SECONDS if request.session_timeout is None else request.session_timeout,
        infra=str(request.infra) if request.infra is not None else None,
        workers=list(request.workers or ()),
        webhook=request.webhook or None,
        run_at=run_at,
        is_idempotent=metadata.get("idempotent") is True,
        timeout_seconds=_seconds(metadata.get("timeout_seconds")),
        metadata=request.metadata.to_wire() if request.metadata else {},
    )


def place(tx: Writing, order: Order, *, task_id: str, engine_id: str, new_session_id: str | None = None) -> TaskRecord:
    """Inserts the task, queued unless it is for later; the session's clock stands still while it waits and runs.

    Who places it submits its `ticket` once this is durable; what is for later is woken by the engine.
    """
    session_id = new_session_id or order.session_id
    events = [entry(TaskStatus.RECEIVED, tx.now)]
    if order.run_at is None:
        events.append(entry(TaskStatus.QUEUED, tx.now))
    task = tx.insert(
        TaskRecord(
            id=task_id,
            owner=order.owner,
            status=TaskStatus.RECEIVED if order.run_at else TaskStatus.QUEUED,
            app_id=order.app_id,
            app_version_id=order.version_id,
            function=order.function,
            input=order.input,
            setup=order.setup,
            session_id=session_id,
            session_timeout=order.idle_seconds if order.is_new_session else None,
            infra=order.infra,
            workers=order.workers,
            webhook=order.webhook,
            run_at=order.run_at,
            engine_id=None if order.run_at else engine_id,
            is_idempotent=order.is_idempotent,
            timeout_seconds=order.timeout_seconds,
            events=events,
            metadata=order.metadata,
            idempotency_key=order.idempotency_key,
            **(asdict(order.caller) if order.caller else {}),
        )
    )
    if order.run_at:
        tx.wake(task_wake(task.id), at=order.run_at)
    if new_session_id:
        _begin_session(tx, order, task, session_id=new_session_id, engine_id=engine_id)
    elif session_id:
        session = sessions.active(tx, session_id, owner=order.owner)
        if session.engine_id != engine_id:
            raise Fault("WORKER_LEASED", f"session {session_id!r} is held by another server process; call that one")
        tx.update(session.but(task_id=task.id, last_call_at=tx.now))
    return task


def ticket(task: TaskRecord) -> Ticket:
    """What the fleet's queue needs to know of a task."""
    return Ticket(
        task_id=task.id,
        lane=f"session {task.session_id}" if task.session_id else f"{task.owner} {task.app_version_id}",
        version_id=task.app_version_id,
        owner=task.owner,
        setup_key=_key(task.setup) if task.setup else "",
        session_id=task.session_id,
        workers=tuple(task.workers),
    )


# -- parts ---------------------------------------------------------------------------------------------------------


def _begin_session(tx: Writing, order: Order, task: TaskRecord, *, session_id: str, engine_id: str) -> None:
    expires_at = later(tx.now, order.idle_seconds)
    tx.insert(
        SessionRecord(
            id=session_id,
            owner=order.owner,
            app_id=order.app_id,
            app_version_id=order.version_id,
            setup=order.setup,
            engine_id=engine_id,
            expires_at=expires_at,
            task_id=task.id,
            last_call_at=tx.now,
            idle_timeout=order.idle_seconds,
        )
    )
    tx.wake(session_wake(session_id), at=expires_at)


def _check_webhook(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, or brackets that hold no address
        is_good = False
    if not is_good or len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        raise Fault("invalid_request", f"webhook {url[:200]!r} is no http or https URL with a host")


def _check_session(request: RunTaskRequest) -> None:
    seconds = request.session_timeout
    if seconds is not None and request.session != NEW:
        raise Fault("invalid_request", f"session_timeout goes with session {NEW!r} only; leave it out")
    if seconds is not None and not SHORTEST_IDLE_SECONDS <= seconds <= LONGEST_IDLE_SECONDS:
        raise Fault(
            "invalid_request",
            f"session_timeout is {SHORTEST_IDLE_SECONDS} to {LONGEST_IDLE_SECONDS} seconds, not {seconds}",
        )
    if request.session and request.run_at:
        raise Fault("invalid_request", "run_at and session do not go together: a session would idle until then")


def _run_at(text: str, *, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Fault("invalid_request", f"run_at {text!r} is no moment with a zone, such as 2026-01-31T08:00:00Z")
    if moment < now - LATE:
        raise Fault("invalid_request", f"run_at {text!r} is in the past; leave it out to run at once")
    try:
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        raise Fault("invalid_request", f"run_at {text!r} is beyond every calendar") from None


def _named(tx: Reading, request: RunTaskRequest, *, owner: str) -> ResolvedApp:
    return resolve_app(
        tx,
        request.app,
        owner=owner,
        app_id=request.app_id,
        version_id=request.version_id,
        function=request.function or None,
    )


def _of_session(tx: Reading, session: SessionRecord, request: RunTaskRequest) -> ResolvedApp:
    """What a session's call means: its own version, whatever is current by now. Raises Fault on a mismatch."""
    app = readable_app(tx, request.app or request.app_id or "", owner=session.owner)
    parsed = _parsed(request.app)
    pinned = (parsed.version if parsed else None) or request.version_id
    if app.id != session.app_id:
        raise Fault(
            "APP_MISMATCH",
            f"session {session.id!r} belongs to app {session.app_id!r}, not to {app.namespace}/{app.name}",
            session_id=session.id,
        )
    if pinned and version_of(tx, app, pinned).id != session.app_version_id:
        raise Fault(
            "VERSION_MISMATCH",
            f"session {session.id!r} runs version {session.app_version_id!r}, not {pinned!r}; leave the version out",
            session_id=session.id,
        )
    if request.setup and request.setup != session.setup:
        raise Fault(
            "invalid_request",
            f"setup: session {session.id!r} was set up with another one; leave `setup` out, or begin a new session",
        )
    version = version_of(tx, app, session.app_version_id)
    wanted = (parsed.function if parsed else None) or request.function or None
    return ResolvedApp(app, version, choose_function(app, version, wanted))


def _parsed(ref: str | None) -> Reference | None:
    try:
        return Reference.parse(ref) if ref else None
    except ReferenceSyntaxError as error:
        raise Fault("invalid_request", str(error)) from None


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    return float(value) if is_number else None


def _key(setup: Any) -> str:
    """Equal for equal setups, whatever the order of their members."""
    return hashlib.sha256(json.dumps(setup, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
