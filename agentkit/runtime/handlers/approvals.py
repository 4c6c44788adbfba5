"""Answers to questions: approvals, and what else a run asks people."""

from __future__ import annotations

from typing import Any

from agentkit.protocol import api
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked


@routes.on(api.INVOKE_TOOL)
async def invoke_tool(asked: Asked) -> Any:
    """Approve."""
    return await asked.platform.approvals.invoke(
        asked.owner, asked["invocation_id"], asked.body, by=asked.approver, once=asked.once
    )


@routes.on(api.REJECT_TOOL)
async def reject_tool(asked: Asked) -> Any:
    """Reject."""
    return await asked.platform.approvals.reject(
        asked.owner, asked["invocation_id"], asked.body, by=asked.approver, once=asked.once
    )


@routes.on(api.ALWAYS_ALLOW)
async def always_allow(asked: Asked) -> Any:
    """Approve, and do not ask again."""
    return await asked.platform.approvals.always_allow(
        asked.owner, asked["chat_id"], asked["invocation_id"], asked.body, by=asked.approver
    )


@routes.on(api.ALWAYS_ALLOW_OPTIONS)
async def always_allow_options(asked: Asked) -> Any:
    """What may be allowed with it."""
    return await asked.platform.approvals.always_allow_options(asked.owner, asked["chat_id"], asked["invocation_id"])


@routes.on(api.EXPLAIN_CALL)
async def explain_call(asked: Asked) -> Any:
    """An account of the call."""
    return await asked.platform.approvals.explain(asked.owner, asked["chat_id"], asked["invocation_id"])


@routes.on(api.RESOLVE_INTERRUPT)
async def resolve_interrupt(asked: Asked) -> Any:
    """Allow, deny or respond, once."""
    return await asked.platform.approvals.resolve(
        asked.owner, asked["interrupt_id"], asked.body, by=asked.approver, once=asked.once
    )


@routes.on(api.RUN_INTERRUPTS)
async def run_interrupts(asked: Asked) -> Any:
    """All questions of a run."""
    return await asked.platform.approvals.run_interrupts(asked.owner, asked["run_id"])
