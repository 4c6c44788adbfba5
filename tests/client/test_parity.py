"""The twins: what the synchronous client can do, the asynchronous one can do by the same name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import agentkit
from agentkit import Agent, AsyncAgent, AsyncInference, AsyncTurn, Inference, Turn
from agentkit.client.apps import Apps, AsyncApps
from agentkit.client.credentials import AsyncIntegrations, AsyncSecrets, Integrations, Secrets
from agentkit.client.files import AsyncFiles, Files
from agentkit.client.interrupt_streams import AsyncInterruptStream, InterruptStream
from agentkit.client.interrupts import AsyncInterrupts, Interrupts
from agentkit.client.mapping import AsyncTaskMap, TaskMap
from agentkit.client.resources import Agents, AsyncAgents
from agentkit.client.sessions import AsyncSession, AsyncSessions, Session, Sessions
from agentkit.client.task_streams import AsyncTaskStream, TaskStream
from agentkit.client.tasks import AsyncTasks, Tasks

TWINS: list[tuple[type, type]] = [
    (Inference, AsyncInference),
    (Agents, AsyncAgents),
    (Files, AsyncFiles),
    (Agent, AsyncAgent),
    (Turn, AsyncTurn),
    (Apps, AsyncApps),
    (Secrets, AsyncSecrets),
    (Integrations, AsyncIntegrations),
    (Interrupts, AsyncInterrupts),
    (InterruptStream, AsyncInterruptStream),
    (Sessions, AsyncSessions),
    (Session, AsyncSession),
    (Tasks, AsyncTasks),
    (TaskMap, AsyncTaskMap),
    (TaskStream, AsyncTaskStream),
]
PLAIN = {  # what the asynchronous twin does without await, because it asks nobody
    AsyncInference: {"agent", "session", "stream_task"},
    AsyncApps: {"iterate"},
    AsyncSecrets: {"iterate"},
    AsyncIntegrations: {"iterate"},
    AsyncInterrupts: {"iterate", "stream"},
    AsyncInterruptStream: set[str](),
    AsyncSession: set[str](),
    AsyncSessions: set[str](),
    AsyncTaskMap: set[str](),
    AsyncTaskStream: set[str](),
    AsyncTasks: {"iterate", "map", "stream"},
    AsyncAgents: {"create", "resume"},
    AsyncFiles: {"iterate"},
    AsyncAgent: {"on", "stream", "resume", "reset", "stream_messages", "stream_chat"},
    AsyncTurn: {"leave"},
}
PROTOCOLS = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__", "__next__": "__anext__"}
SEED_NAMES: dict[type, set[str]] = {  # protocol.md appendix B: what agents and files offer there
    Inference: {
        "tasks", "files", "agents", "sessions", "run", "cancel", "get_task", "wait_for_completion", "upload_file",
        "stream_task", "agent", "session",
    },
    Files: {"upload"},
    Tasks: {"run", "get", "cancel", "wait_for_completion", "stream"},
    Sessions: {"get", "list", "keepalive", "end"},
    Session: {"session_id", "call", "info", "keepalive", "end"},
    TaskStream: {"result", "error"},
    Agents: {"create"},
    Agent: {
        "chat_id", "send_message", "run", "upload_file", "get_chat", "stop_chat", "submit_tool_result",
        "stream_messages", "stream_chat", "stream_all", "reset",
    },
}  # fmt: skip


def names_of(kind: type) -> set[str]:
    """The public names of a class, and of the parts that its __init__ hangs on it."""
    parts = getattr(kind, "__annotations__", {})
    return {name for name in {*dir(kind), *parts} if not name.startswith("_")}


def methods_of(kind: type) -> dict[str, Any]:
    """The public methods of a class."""
    return {name: getattr(kind, name) for name in names_of(kind) if inspect.isfunction(getattr(kind, name, None))}


def synchronous(annotation: Any) -> str:
    """A type as the synchronous twin would say it."""
    return str(annotation).replace("Async", "")


def parameters(method: Any) -> list[tuple[str, Any, Any, str]]:
    """Name, kind, default and type of each parameter."""
    found = inspect.signature(method).parameters.values()
    return [(each.name, each.kind, each.default, synchronous(each.annotation)) for each in found]


def is_awaited(method: Any) -> bool:
    """Whether a call has to be awaited."""
    return inspect.iscoroutinefunction(method)


@pytest.mark.requirement("client:twins")
@pytest.mark.parametrize(("plain", "twin"), TWINS, ids=lambda each: each.__name__)
def test_the_twins_have_the_same_public_names(plain: type, twin: type) -> None:
    assert twin.__name__ == f"Async{plain.__name__}"
    assert names_of(plain) == names_of(twin)


@pytest.mark.requirement("client:twins")
@pytest.mark.parametrize(("plain", "twin"), TWINS, ids=lambda each: each.__name__)
def test_the_twins_methods_take_and_give_the_same(plain: type, twin: type) -> None:
    others = methods_of(twin)
    assert set(methods_of(plain)) == set(others)
    for name, method in methods_of(plain).items():
        assert parameters(method) == parameters(others[name]), name
        told, other = (inspect.signature(each).return_annotation for each in (method, others[name]))
        assert synchronous(told) == synchronous(other), name


@pytest.mark.requirement("client:twins")
@pytest.mark.parametrize(("plain", "twin"), TWINS, ids=lambda each: each.__name__)
def test_what_asks_the_platform_is_awaited_and_nothing_else(plain: type, twin: type) -> None:
    assert not any(is_awaited(method) for method in methods_of(plain).values())
    assert {name for name, method in methods_of(twin).items() if not is_awaited(method)} == PLAIN[twin]


@pytest.mark.requirement("client:twins")
@pytest.mark.parametrize(("plain", "twin"), TWINS, ids=lambda each: each.__name__)
def test_the_twins_are_entered_and_iterated_alike(plain: type, twin: type) -> None:
    for name, other in PROTOCOLS.items():
        assert hasattr(plain, name) == hasattr(twin, other), name
        assert not hasattr(twin, name) and not hasattr(plain, other), name


@pytest.mark.requirement("client:twins")
@pytest.mark.parametrize(("plain", "twin"), TWINS, ids=lambda each: each.__name__)
def test_the_twins_are_made_alike(plain: type, twin: type) -> None:
    assert parameters(plain.__init__) == parameters(twin.__init__)


@pytest.mark.requirement("client:twins")
def test_the_twin_factories_take_the_same() -> None:
    assert parameters(agentkit.inference) == parameters(agentkit.async_inference)


@pytest.mark.requirement("client:twins")
@pytest.mark.parametrize("kind", SEED_NAMES, ids=lambda each: each.__name__)
def test_every_name_of_the_official_agent_and_file_layer_is_there(kind: type) -> None:
    assert SEED_NAMES[kind] <= names_of(kind)
