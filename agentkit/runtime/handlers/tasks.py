"""Tasks and sessions: run, watch, cancel."""

from __future__ import annotations

from typing import Any

from agentkit.protocol import api
from agentkit.runtime.faults import Fault
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked


async def _later(asked: Asked) -> Any:
    raise Fault("not_configured", "not built yet")


for _each in (
    api.RUN, api.RUN_TASK, api.LIST_TASKS, api.FEATURED_TASKS, api.GET_TASK, api.DELETE_TASK, api.TASK_STATUS,
    api.STREAM_TASK, api.CANCEL_TASK, api.TASK_LOGS, api.TASK_TIMINGS, api.TASK_FILES, api.DELETE_TASK_FILES,
    api.SET_TASK_VISIBILITY, api.FEATURE_TASK, api.LIST_SESSIONS, api.GET_SESSION, api.KEEP_SESSION, api.END_SESSION,
    api.FLEET,
):  # fmt: skip
    routes.on(_each)(_later)
