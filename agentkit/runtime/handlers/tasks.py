"""Tasks: run, watch, cancel."""

from __future__ import annotations

from typing import Any, Final

import anyio
from starlette.requests import Request

from agentkit.errors import StoreError
from agentkit.protocol import api
from agentkit.runtime import taskwatch
from agentkit.runtime.faults import Fault
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked
from agentkit.runtime.streams import EVENTS, Stream, format_for
from agentkit.wire import CursorListRequest

TRUE: Final = ("true", "1", "yes", "on")
FALSE: Final = ("false", "0", "no", "off")


@routes.on(api.RUN)
async def run(asked: Asked) -> Any:
    """Waits, unless told otherwise or to run later (protocol.md 10, #6)."""
    return await _run(asked, waits=not asked.body.run_at)


@routes.on(api.RUN_TASK)
async def run_task(asked: Asked) -> Any:
    """Answers at once with a task that is not over, unless told to wait (protocol.md 2.1)."""
    return await _run(asked, waits=False)


@routes.on(api.LIST_TASKS)
async def list_tasks(asked: Asked) -> Any:
    """A page of tasks."""
    return await asked.platform.tasks.page(asked.owner, asked.body)


@routes.on(api.FEATURED_TASKS)
async def featured_tasks(asked: Asked) -> Any:
    """A page of featured tasks."""
    wanted = CursorListRequest(limit=asked.number("limit"), cursor=asked.request.query_params.get("cursor"))
    return await asked.platform.tasks.featured(asked.owner, wanted)


@routes.on(api.GET_TASK)
async def get_task(asked: Asked) -> Any:
    """Whole."""
    return await asked.platform.tasks.get(asked.owner, asked["task_id"])


@routes.on(api.DELETE_TASK)
async def delete_task(asked: Asked) -> None:
    """Cancelled first."""
    files = _truth(asked.request, "files") or False
    await asked.platform.tasks.delete(asked.owner, asked["task_id"], files=files)


@routes.on(api.TASK_STATUS)
async def task_status(asked: Asked) -> Any:
    """As pollers need it."""
    return await asked.platform.tasks.status(asked.owner, asked["task_id"])


@routes.on(api.STREAM_TASK)
async def stream_task(asked: Asked) -> Stream:
    """Until the task is over; from a snapshot on, whatever `Last-Event-ID` says, so nothing can be missed."""
    return await _stream(asked, asked["task_id"])


@routes.on(api.CANCEL_TASK)
async def cancel_task(asked: Asked) -> Any:
    """Nothing changes where it is over."""
    return await asked.platform.tasks.cancel(asked.owner, asked["task_id"], asked.body)


@routes.on(api.TASK_LOGS)
async def task_logs(asked: Asked) -> Any:
    """What it printed."""
    return await asked.platform.tasks.logs(asked.owner, asked["task_id"])


@routes.on(api.TASK_TIMINGS)
async def task_timings(asked: Asked) -> Any:
    """Where its time went."""
    return await asked.platform.tasks.timings(asked.owner, asked["task_id"])


@routes.on(api.TASK_FILES)
async def task_files(asked: Asked) -> Any:
    """What it was given and made."""
    role = asked.request.query_params.get("role")
    return await asked.platform.tasks.files(asked.owner, asked["task_id"], role=role)


@routes.on(api.DELETE_TASK_FILES)
async def delete_task_files(asked: Asked) -> Any:
    """Of a task that is over."""
    role = asked.request.query_params.get("role")
    return await asked.platform.tasks.delete_files(asked.owner, asked["task_id"], role=role)


@routes.on(api.SET_TASK_VISIBILITY)
async def set_task_visibility(asked: Asked) -> Any:
    """Private, public or unlisted."""
    return await asked.platform.tasks.set_visibility(asked.owner, asked["task_id"], asked.body.visibility)


@routes.on(api.FEATURE_TASK)
async def feature_task(asked: Asked) -> Any:
    """Or no longer."""
    return await asked.platform.tasks.set_featured(asked.owner, asked["task_id"], asked.body.is_featured)


@routes.on(api.FLEET)
async def fleet(asked: Asked) -> Any:
    """How the pool is doing."""
    return asked.platform.fleet()


# -- parts ---------------------------------------------------------------------------------------------------------


async def _run(asked: Asked, *, waits: bool) -> Any:
    """Runs the task; then answers at once, when it is over, or with its stream, as asked (query over body)."""
    said = _truth(asked.request, "wait")
    said = asked.body.wait if said is None else said
    task = await asked.platform.tasks.run(asked.owner, asked.body, once=asked.once)
    if asked.body.stream:
        return await _stream(asked, task["id"])
    return await _finished(asked, task["id"]) if (waits if said is None else said) else task


async def _finished(asked: Asked, task_id: str) -> Any:
    """The task once it is over; nobody waits for it when the caller hangs up, or the server stops."""
    found: list[Any] = []
    async with anyio.create_task_group() as group:
        asked.streams.add(group.cancel_scope)
        group.start_soon(_until_gone, asked.request, group.cancel_scope)
        try:
            found.append(await asked.platform.tasks.finished(asked.owner, task_id))
        except (Fault, StoreError) as refused:  # as it is: a task group would wrap it
            found.append(refused)
        finally:
            asked.streams.drop(group.cancel_scope)
            group.cancel_scope.cancel()
    match found:
        case [Fault() | StoreError() as error]:
            raise error
        case [task]:
            return task
        case _:
            raise Fault("unavailable", f"the server stops; the task goes on: GET /tasks/{task_id}", task_id=task_id)


async def _until_gone(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _stream(asked: Asked, task_id: str) -> Stream:
    updates = await asked.platform.tasks.watch(asked.owner, task_id)
    format = format_for(asked.request.headers.get("accept", ""))
    items = taskwatch.events(updates) if format is EVENTS else taskwatch.lines(updates)
    return Stream.of_items(items, format=format, streams=asked.streams)


def _truth(request: Request, name: str) -> bool | None:
    """A query parameter that is true or false; None where it is absent. Raises Fault."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return None
    if text.lower() not in (*TRUE, *FALSE):
        raise Fault("invalid_request", f"{name} is true or false, not {text!r}")
    return text.lower() in TRUE
