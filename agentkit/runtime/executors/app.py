"""Tools of type `app`: a call is a task of the app's function, whose end is its result (protocol.md 2, 3, 6.7).

The task is begun in the transaction that links it to the call, under an id that the attempt gives it: however often
that is carried out, after a crash too, it is one task. A person who is asked about one that was lost while it ran may
want another one; its app sees the same `metadata.idempotency_key`.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, Final

import anyio

from agentkit.errors import SchemaError
from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime import orders
from agentkit.runtime.appinputs import check_given, check_requirements, check_runnable, check_setup
from agentkit.runtime.apprefs import ResolvedApp, functions_of, resolve_app
from agentkit.runtime.budgets import Limits
from agentkit.runtime.credentials.needs import Holdings
from agentkit.runtime.executors import Elsewhere, Execution, Produced, ToolDesk, ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.here import Here
from agentkit.runtime.ids import derived_id, new_id
from agentkit.runtime.moves import task_wake
from agentkit.runtime.ports import Fleet, Reading, Store
from agentkit.runtime.records import InvocationRecord, TaskRecord
from agentkit.runtime.work import Work
from agentkit.tools.schema import check_schema
from agentkit.wire import AgentTool, AppToolConfig, RunTaskRequest, ToolType

__all__ = ["SESSION", "AppExecutor"]

SESSION: Final = "session"
"""The parameter of a tool with sessions that says in which one it is called."""
_SESSION_SCHEMA: Final = {
    "type": "string",
    "description": (
        f'Keeps the app and what it has in memory for further calls: "{orders.NEW}" begins a session, whose id comes '
        "with the result; that id goes on with it. Leave it out for a call of its own."
    ),
}


class AppExecutor:
    """Runs apps for tool calls. `holdings` tells what an owner has of what apps ask for."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.APP,)

    def __init__(
        self,
        store: Store,
        *,
        here: Here,
        fleet: Fleet,
        holdings: Callable[[Reading, str], Holdings],
        limits: Limits,
    ) -> None:
        self._store = store
        self._here = here
        self._fleet = fleet
        self._holdings = holdings
        self._limits = limits

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Nothing to open: the platform's fleet runs the tasks."""
        yield

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        """The tool with the app, version and function it means now, and that function's input as its parameters.

        Raises Fault: 404 for an app or version that is not there, 400 for a function, 422 for values that do not fit,
        412 for missing secrets and integrations, `not_configured` for an app that cannot run here.
        """
        try:
            return [await self._store.read(lambda tx: self._bound(tx, tool, owner))]
        except Fault as fault:
            raise Fault(fault.code, f"tool {tool.name!r}: {fault.detail}", **fault.members) from None

    def is_stale(self, tool: AgentTool) -> bool:
        """A chat keeps the version it has until its next message."""
        return False

    def is_idempotent(self, call: Execution) -> bool:
        """Nothing happens before the transaction that links the new task to the call."""
        return True

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced | Elsewhere:
        """Begins the task. Raises ToolFailure where it is refused; `is_transient` where every worker is leased."""
        try:
            order = await self._store.read(lambda tx: self._order(tx, call))
            await self._begin(call, order, desk)
        except Fault as fault:
            raise ToolFailure(fault.detail, data={"code": fault.code}, had_effect=False) from None
        return Elsewhere(_as_it_is)

    # -- binding ---------------------------------------------------------------------------------------------------

    def _bound(self, tx: Reading, tool: AgentTool, owner: str) -> AgentTool:
        config = tool.app or AppToolConfig()
        if not (config.ref or config.id):
            raise Fault("invalid_request", "name its app: `app: {ref: 'namespace/name'}`, or `id`")
        found = resolve_app(
            tx,
            config.ref,
            owner=owner,
            app_id=None if config.ref else config.id,
            version_id=config.version_id,
            function=config.function or None,
        )
        check_runnable(found.version)
        check_setup(found.version, config.setup or None)
        check_given(found.version, found.function, {**_defaults(config), **_fixed(config)})
        check_requirements(found.version, self._holdings(tx, owner))
        bound = config.model_copy(
            update={
                "id": found.app.id,
                "version_id": found.version.id,
                "function": found.function,
                "input_schema": _parameters(found, config),
            }
        )
        description = tool.description or _description(found)
        return tool.model_copy(update={"app": bound, "description": description})

    # -- beginning -------------------------------------------------------------------------------------------------

    def _order(self, tx: Reading, call: Execution) -> orders.Order:
        config, arguments = call.tool.app or AppToolConfig(), dict(call.arguments)
        session = str(arguments.pop(SESSION, None) or "") if config.session_enabled else ""
        request = RunTaskRequest(
            app=None if config.id else config.ref,
            app_id=config.id,
            version_id=config.version_id if session in ("", orders.NEW) else None,  # a session has its own
            function=config.function,
            input={**_defaults(config), **arguments, **_fixed(config)},
            setup=config.setup or None,
            session=session or None,
        )
        have = self._holdings(tx, call.owner)
        order = orders.resolve(tx, request, owner=call.owner, run_at=None, have=have)
        is_idempotent = order.is_idempotent if call.tool.idempotent is None else call.tool.idempotent
        return replace(order, is_idempotent=is_idempotent, timeout_seconds=call.tool.timeout or order.timeout_seconds)

    async def _begin(self, call: Execution, order: orders.Order, desk: ToolDesk) -> None:
        session_id = self._lease(order) if order.is_new_session else None
        begun: TaskRecord | None = None
        try:
            with anyio.CancelScope(shield=True):  # what is begun is also linked, and known here
                begun = await desk.change(call, lambda work, found: self._place(work, found, call, order, session_id))
        finally:
            if session_id and (begun is None or begun.session_id != session_id):
                self._fleet.release(session_id)

    def _lease(self, order: orders.Order) -> str:
        session_id = new_id()
        if not self._fleet.lease(session_id, workers=order.workers):
            raise ToolFailure(
                "every worker is leased to another session; go on without a session, or try later",
                data={"code": "WORKER_LEASED"},
                is_transient=True,
                had_effect=False,
            )
        return session_id

    def _place(
        self, work: Work, invocation: InvocationRecord, call: Execution, order: orders.Order, session_id: str | None
    ) -> TaskRecord:
        """The attempt's task, queued and linked to the call; where it was placed already, that one."""
        task_id = derived_id(f"task {call.idempotency_key} {call.attempt}")
        task = work.tx.get(TaskRecord, task_id)
        if task is None:
            caller = orders.Caller(invocation.id, work.chat.id, work.chat.agent_id, self._limits.result_chars)
            task = orders.place(
                work.tx,
                replace(order, caller=caller, idempotency_key=call.idempotency_key),
                task_id=task_id,
                engine_id=self._here.engine_id,
                new_session_id=session_id,
            )
            work.tx.wake(task_wake(task.id))
        if invocation.execution_id != task.id:
            work.save(invocation, execution_id=task.id)
        return task


# -- parts ---------------------------------------------------------------------------------------------------------


def _as_it_is(work: Work, invocation: InvocationRecord) -> InvocationRecord:
    """Its task is begun and linked already: a lease cannot wait for the transaction that lets go of the call."""
    return invocation


def _defaults(config: AppToolConfig) -> dict[str, Any]:
    if config.input is not None and not is_object(config.input):
        raise Fault("validation_error", f"`app.input` is an object of default input, not {config.input!r}")
    return dict(config.input or {})


def _fixed(config: AppToolConfig) -> dict[str, Any]:
    return dict(config.fixed_input or {})


def _description(found: ResolvedApp) -> str:
    function = functions_of(found.version).get(found.function or "")
    return (function and function.description) or found.app.agent_description or found.app.description


def _parameters(found: ResolvedApp, config: AppToolConfig) -> dict[str, Any]:
    """What the model may pass: the function's input without what is fixed, its defaults shown, and the session."""
    function = functions_of(found.version).get(found.function or "")
    schema = copy.deepcopy(_own_schema(function.input_schema if function else None, config))
    known: dict[str, Any] = schema.setdefault("properties", {})
    for name in _fixed(config):
        known.pop(name, None)
    for name, value in _defaults(config).items():
        if name in known:
            known[name] = {**known[name], "default": value} if is_object(known[name]) else {"default": value}
    settled = {**_defaults(config), **_fixed(config)}
    schema["required"] = [name for name in schema.get("required", ()) if name not in settled]
    return _with_session(schema, found) if config.session_enabled else schema


def _own_schema(schema: Any, config: AppToolConfig) -> dict[str, Any]:
    """The app's own schema goes before the hint; an app that has none takes any object."""
    chosen: Any = schema if schema is not None else config.input_schema
    if chosen is None:
        return {"type": "object", "properties": {}, "required": []}
    try:
        check_schema(chosen, what="the app's input")
    except SchemaError as error:
        raise Fault("validation_error", str(error)) from None
    if not is_object(chosen) or chosen.get("type", "object") != "object" or is_array(chosen.get("properties")):
        raise Fault("validation_error", "the app's input is no object, and only an object can be a tool's arguments")
    return {"type": "object", **chosen}


def _with_session(schema: dict[str, Any], found: ResolvedApp) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema["properties"]
    if SESSION in properties:
        raise Fault(
            "invalid_request",
            f"the input of {found.app.namespace}/{found.app.name} has a {SESSION!r} of its own, so the model cannot be "
            "offered another one; leave `session_enabled` out",
        )
    return {**schema, "properties": {**properties, SESSION: dict(_SESSION_SCHEMA)}}
