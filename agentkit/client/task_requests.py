"""The requests of a task, as values: what both twins send, and how they are told to watch."""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, TypedDict

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from agentkit.client.config import ClientConfig
from agentkit.errors import RemoteProtocolError, SessionError, UsageError
from agentkit.protocol import api
from agentkit.protocol.effects import WatchEffect
from agentkit.protocol.endpoint import Call
from agentkit.protocol.link import Patience
from agentkit.protocol.refs import Reference
from agentkit.protocol.watch import WatchMachine
from agentkit.wire import RunTaskRequest, Task

__all__ = [
    "ListenOptions",
    "Manner",
    "RunOptions",
    "WatchOptions",
    "Which",
    "begin_run",
    "begin_watch",
    "check_options",
    "checked",
    "run_call",
    "task_from",
    "with_session",
]

Which: TypeAlias = Literal["marked", "strings", "nothing"]
"""What of a task's input is uploaded. marked: `File`, `Upload`, paths, bytes, open files and data URIs. strings: also
text that names a file here, or looks like base64, as the SDK 0.7.8 does. nothing: nothing."""

Begin: TypeAlias = Callable[[WatchMachine], list[WatchEffect]]

_LONGEST_SESSION_SECONDS = 3600  # seeds/003, "custom session timeout"


class ListenOptions(TypedDict, total=False):
    """How to listen to a task.

    `on_update` gets the whole task at every change, `on_partial_update(task, fields)` those that name what changed. A
    stream that breaks is opened again up to `max_reconnects` times in a row, the first time after `reconnect_delay_ms`;
    then the task is polled. `poll` True asks for the status every `poll_interval_ms` and holds no stream open.
    """

    on_update: Callable[[Task], Any] | None
    on_partial_update: Callable[[Task, list[str]], Any] | None
    auto_reconnect: bool
    max_reconnects: int
    reconnect_delay_ms: float | None
    poll: bool | None
    poll_interval_ms: float | None


class WatchOptions(ListenOptions, total=False):
    """And for how long: `timeout` seconds; then TaskTimeoutError is raised, and the task goes on."""

    timeout: float | None


class RunOptions(WatchOptions, total=False):
    """How to run an app. `upload`: what in its input is a file, see `Which`; a run of one `idempotency_key` is one."""

    idempotency_key: str | None
    upload: Which


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """The options of one run or watch, with their defaults."""

    on_update: Callable[[Task], Any] | None = None
    on_partial_update: Callable[[Task, list[str]], Any] | None = None
    timeout: float | None = None
    auto_reconnect: bool = True
    max_reconnects: int = 5  # seeds/001, "maxReconnects"
    reconnect_delay_ms: float | None = None
    poll: bool | None = None  # None: as the client is set
    poll_interval_ms: float | None = None
    idempotency_key: str | None = None
    upload: Which = "marked"

    @classmethod
    def of(cls, call: str, options: Mapping[str, Any]) -> Manner:
        """Of the keyword arguments of `call`. Raises TypeError for one that there is not."""
        check_options(call, options)
        return cls(**options)

    def __post_init__(self) -> None:
        for name in ("timeout", "max_reconnects", "reconnect_delay_ms", "poll_interval_ms"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not value >= 0):
                raise UsageError(f"{name} is {value!r}; give a number, 0 or more")

    def tell(self, task: Task, fields: Sequence[str]) -> list[Any]:
        """Calls back, in the caller's own thread or task; returns what the callbacks gave."""
        given: list[Any] = []
        if self.on_update is not None:
            given.append(self.on_update(task))
        if self.on_partial_update is not None and fields:
            given.append(self.on_partial_update(task, list(fields)))
        return given

    def machine(self, config: ClientConfig, task_id: str | None = None) -> WatchMachine:
        """The machine of one watch."""
        streams = config.stream if self.poll is None else not self.poll
        return WatchMachine(
            task_id=task_id, streams=streams, polls_when_lost=self.auto_reconnect, patience=self._patience(config)
        )

    def _patience(self, config: ClientConfig) -> Patience:
        usual = Patience(
            poll_seconds=config.poll_seconds,
            quiet_seconds=config.quiet_seconds,
            grace_seconds=config.stop_grace_seconds,
            max_retries=self.max_reconnects if self.auto_reconnect else 0,
        )
        if self.reconnect_delay_ms is not None:
            first = self.reconnect_delay_ms / 1000
            usual = replace(usual, first_retry_seconds=first, max_retry_seconds=max(first, usual.max_retry_seconds))
        if self.poll_interval_ms is not None:
            usual = replace(usual, poll_seconds=self.poll_interval_ms / 1000)
        return usual


_OPTIONS = tuple(each.name for each in fields(Manner))


def check_options(call: str, options: Iterable[str], *more: str) -> None:
    """Raises TypeError for a name that is no option of `call`, which has those of a run and `more`."""
    known = (*more, *_OPTIONS)
    for name in options:
        if name not in known:
            raise TypeError(f"{call} has no option {name!r}{_meant(name, known)}; it has {', '.join(known)}")


def checked(params: Mapping[str, Any] | RunTaskRequest) -> dict[str, Any]:
    """The body of a run as a dict of its own. Raises UsageError for what no platform would take."""
    if isinstance(params, RunTaskRequest):
        params = {name: value for name, value in params.items() if name in params.model_fields_set}
    if not isinstance(params, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]: not every caller is typed
        raise UsageError(f"run() takes a dict such as {{'app': 'acme/resize', 'input': {{}}}}, not {params!r:.60}")
    body = dict(params)
    if not (body.get("app") or body.get("app_id")):
        raise UsageError("run() needs the app: {'app': 'namespace/name', 'input': {...}}")
    if isinstance(body.get("app"), str):
        Reference.parse(body["app"])
    if told := [name for name in ("wait", "stream", *_OPTIONS) if body.get(name) is not None]:
        raise UsageError(f"{told[0]!r} is an argument of run(), beside the params: run(params, {told[0]}=...)")
    for name in (
        body.keys() - RunTaskRequest.model_fields.keys()
    ):  # what is new to us travels, what is misspelt does not
        if meant := _meant(name, [each for each in RunTaskRequest.model_fields if each not in body]):
            raise UsageError(f"run(): the params have {name!r}{meant}")
    return _check_session(body)


def run_call(body: Mapping[str, Any], config: ClientConfig, *, key: str | None) -> Call[Any]:
    """POST /apps/run; with a key, and so repeatable, where the platform honours one.

    A key of the caller's own travels in any case; but nothing is repeated on the strength of it elsewhere.
    """
    try:
        request = RunTaskRequest.parse(dict(body))
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"run(): {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    try:
        call = api.RUN_TASK.call(request).raw
    except (PydanticSerializationError, ValueError) as error:
        raise UsageError(f"run(): JSON cannot carry these params: {error}") from None
    if config.honours_keys:
        return call.keyed(key or uuid.uuid4().hex)
    return call if key is None else replace(call, headers={**call.headers, "Idempotency-Key": key})


def task_from(answer: Any, *, of: str) -> Task:
    """The task of an answer. Raises RemoteProtocolError where it is none."""
    try:
        task = Task.parse(answer)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "(whole)"
        raise RemoteProtocolError(f"{of} is no task: {where}: {problem['msg']}") from None
    if not task.id:
        raise RemoteProtocolError(f"{of} is a task without an id")
    return task


def with_session(error: SessionError, session_id: Any) -> SessionError:
    """The error, naming the session where the platform did not."""
    if error.session_id is None and isinstance(session_id, str) and session_id != "new":
        error.session_id = session_id
    return error


def begin_run(answer: Any) -> Begin:
    """The first input of the machine of a task that has just been POSTed."""

    def begin(machine: WatchMachine) -> list[WatchEffect]:
        machine.send()  # asks for the POST, which was done
        return machine.accepted(answer)

    return begin


def begin_watch(machine: WatchMachine) -> list[WatchEffect]:
    """The first input of the machine of a task that there is."""
    return machine.attach()


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean {close[0]!r}?" if close else ""


def _check_session(body: dict[str, Any]) -> dict[str, Any]:
    seconds = body.get("session_timeout")
    if seconds is None:
        return body
    if body.get("session") != "new":
        raise UsageError("session_timeout goes with 'session': 'new' only; a session keeps the one it began with")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= _LONGEST_SESSION_SECONDS:
        raise UsageError(f"session_timeout is {seconds!r}; give whole seconds, 1 to {_LONGEST_SESSION_SECONDS}")
    return body
