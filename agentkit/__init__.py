"""agentkit: agents out of tools, in this process, on a server, or on the hosted platform, the program unchanged.

The house, from the ground up (an arrow may skip a floor, never turn):

    wire        what travels: models that keep what they do not know
    errors      every exception, drawn as a tree
    tools       builders: a chain of calls, or a typed function, to JSON Schema
    protocol    thinking without I/O: the REST table, streams, deltas, the turn machine, the task machine
    apps        what an app's author imports, and what reads an app's folder
    client      I/O for people who use a platform
    runtime     I/O for people who serve one: store, engine, fleet, bus, models, loop, server
    local       Runtime: both in one process
    testing     scripted models
    cli         agentkit serve, app, task, session

Names are loaded when they are first used, so `import agentkit` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from agentkit.apps import AudioMeta as AudioMeta
    from agentkit.apps import BaseApp as BaseApp
    from agentkit.apps import BaseAppInput as BaseAppInput
    from agentkit.apps import BaseAppOutput as BaseAppOutput
    from agentkit.apps import BaseAppSetup as BaseAppSetup
    from agentkit.apps import ContextMessage as ContextMessage
    from agentkit.apps import File as File
    from agentkit.apps import ImageMeta as ImageMeta
    from agentkit.apps import LLMInput as LLMInput
    from agentkit.apps import LLMOutput as LLMOutput
    from agentkit.apps import Message as Message
    from agentkit.apps import Metadata as Metadata
    from agentkit.apps import MetaItem as MetaItem
    from agentkit.apps import OutputMeta as OutputMeta
    from agentkit.apps import RawMeta as RawMeta
    from agentkit.apps import StorageDir as StorageDir
    from agentkit.apps import TextMeta as TextMeta
    from agentkit.apps import VideoMeta as VideoMeta
    from agentkit.apps import build_messages as build_messages
    from agentkit.apps import download as download
    from agentkit.apps import stream_generate as stream_generate
    from agentkit.apps import timing_context as timing_context
    from agentkit.client.agent import Agent as Agent
    from agentkit.client.agent import AsyncAgent as AsyncAgent
    from agentkit.client.callbacks import ToolCallInfo as ToolCallInfo
    from agentkit.client.inference import AsyncInference as AsyncInference
    from agentkit.client.inference import Inference as Inference
    from agentkit.client.inference import async_inference as async_inference
    from agentkit.client.inference import inference as inference
    from agentkit.client.interrupt_streams import AsyncInterruptStream as AsyncInterruptStream
    from agentkit.client.interrupt_streams import InterruptStream as InterruptStream
    from agentkit.client.journal import Journal as Journal
    from agentkit.client.mapping import AsyncTaskMap as AsyncTaskMap
    from agentkit.client.mapping import TaskMap as TaskMap
    from agentkit.client.results import TurnResult as TurnResult
    from agentkit.client.sessions import AsyncSession as AsyncSession
    from agentkit.client.sessions import Session as Session
    from agentkit.client.skills import skills_from as skills_from
    from agentkit.client.task_streams import AsyncTaskStream as AsyncTaskStream
    from agentkit.client.task_streams import TaskStream as TaskStream
    from agentkit.client.turns import AsyncTurn as AsyncTurn
    from agentkit.client.turns import Turn as Turn
    from agentkit.client.uploads import Upload as Upload
    from agentkit.client.uploads import UploadFileOptions as UploadFileOptions
    from agentkit.errors import AgentKitError as AgentKitError
    from agentkit.errors import AlreadyResolvedError as AlreadyResolvedError
    from agentkit.errors import APIError as APIError
    from agentkit.errors import AppDefinitionError as AppDefinitionError
    from agentkit.errors import AppError as AppError
    from agentkit.errors import AppInputError as AppInputError
    from agentkit.errors import AppOutputError as AppOutputError
    from agentkit.errors import ApprovalNeededError as ApprovalNeededError
    from agentkit.errors import FileError as FileError
    from agentkit.errors import NotFoundError as NotFoundError
    from agentkit.errors import OutputError as OutputError
    from agentkit.errors import RequirementError as RequirementError
    from agentkit.errors import RequirementsNotMetError as RequirementsNotMetError
    from agentkit.errors import RunCanceledError as RunCanceledError
    from agentkit.errors import RunError as RunError
    from agentkit.errors import RunFailedError as RunFailedError
    from agentkit.errors import RunLostError as RunLostError
    from agentkit.errors import SessionEndedError as SessionEndedError
    from agentkit.errors import SessionError as SessionError
    from agentkit.errors import SessionExpiredError as SessionExpiredError
    from agentkit.errors import SessionNotFoundError as SessionNotFoundError
    from agentkit.errors import SetupAction as SetupAction
    from agentkit.errors import TaskCanceledError as TaskCanceledError
    from agentkit.errors import TaskError as TaskError
    from agentkit.errors import TaskFailedError as TaskFailedError
    from agentkit.errors import TaskLostError as TaskLostError
    from agentkit.errors import TaskTimeoutError as TaskTimeoutError
    from agentkit.errors import ToolDefinitionError as ToolDefinitionError
    from agentkit.errors import UsageError as UsageError
    from agentkit.errors import WorkerLostError as WorkerLostError
    from agentkit.local import Runtime as Runtime
    from agentkit.protocol.events import ApprovalRequested as ApprovalRequested
    from agentkit.protocol.events import ApprovalResolved as ApprovalResolved
    from agentkit.protocol.events import ChatChanged as ChatChanged
    from agentkit.protocol.events import ChildEvent as ChildEvent
    from agentkit.protocol.events import Fault as Fault
    from agentkit.protocol.events import LinkChanged as LinkChanged
    from agentkit.protocol.events import MessageChanged as MessageChanged
    from agentkit.protocol.events import OutputPartial as OutputPartial
    from agentkit.protocol.events import ReasoningDelta as ReasoningDelta
    from agentkit.protocol.events import RunFinished as RunFinished
    from agentkit.protocol.events import RunStarted as RunStarted
    from agentkit.protocol.events import TextDelta as TextDelta
    from agentkit.protocol.events import ToolAwaited as ToolAwaited
    from agentkit.protocol.events import ToolCalled as ToolCalled
    from agentkit.protocol.events import ToolFinished as ToolFinished
    from agentkit.protocol.events import ToolProgress as ToolProgress
    from agentkit.protocol.events import ToolStarted as ToolStarted
    from agentkit.protocol.events import TurnEvent as TurnEvent
    from agentkit.protocol.events import Unknown as Unknown
    from agentkit.protocol.signing import verify_signature as verify_signature
    from agentkit.runtime.open import FleetConfig as FleetConfig
    from agentkit.tools import NOT_DONE as NOT_DONE
    from agentkit.tools import ToolContext as ToolContext
    from agentkit.tools import ToolOutput as ToolOutput
    from agentkit.tools import agent_tool as agent_tool
    from agentkit.tools import any_of as any_of
    from agentkit.tools import app_tool as app_tool
    from agentkit.tools import approval_policy as approval_policy
    from agentkit.tools import array as array
    from agentkit.tools import boolean as boolean
    from agentkit.tools import call_tool as call_tool
    from agentkit.tools import enum_of as enum_of
    from agentkit.tools import http_tool as http_tool
    from agentkit.tools import integer as integer
    from agentkit.tools import internal_tools as internal_tools
    from agentkit.tools import mcp_server as mcp_server
    from agentkit.tools import mcp_tool as mcp_tool
    from agentkit.tools import number as number
    from agentkit.tools import obj as obj
    from agentkit.tools import openapi_tools as openapi_tools
    from agentkit.tools import optional as optional
    from agentkit.tools import string as string
    from agentkit.tools import tool as tool
    from agentkit.tools import webhook_tool as webhook_tool
    from agentkit.wire import AgentConfig as AgentConfig
    from agentkit.wire import Always as Always
    from agentkit.wire import App as App
    from agentkit.wire import AppSession as AppSession
    from agentkit.wire import AppVersion as AppVersion
    from agentkit.wire import Chat as Chat
    from agentkit.wire import ChatMessage as ChatMessage
    from agentkit.wire import FileRecord as FileRecord
    from agentkit.wire import FileRef as FileRef
    from agentkit.wire import HookPayload as HookPayload
    from agentkit.wire import HookResponse as HookResponse
    from agentkit.wire import Interrupt as Interrupt
    from agentkit.wire import Task as Task
    from agentkit.wire import TaskStatus as TaskStatus
    from agentkit.wire import Tool as Tool
    from agentkit.wire import ToolCall as ToolCall
    from agentkit.wire import ToolParameters as ToolParameters
    from agentkit.wire import is_message_ready as is_message_ready
    from agentkit.wire import is_terminal_status as is_terminal_status
    from agentkit.wire import parse_status as parse_status

_HOMES = {
    "agentkit.apps": (
        "AudioMeta",
        "BaseApp",
        "BaseAppInput",
        "BaseAppOutput",
        "BaseAppSetup",
        "ContextMessage",
        "File",
        "ImageMeta",
        "LLMInput",
        "LLMOutput",
        "Message",
        "MetaItem",
        "Metadata",
        "OutputMeta",
        "RawMeta",
        "StorageDir",
        "TextMeta",
        "VideoMeta",
        "build_messages",
        "download",
        "stream_generate",
        "timing_context",
    ),
    "agentkit.client.agent": (
        "Agent",
        "AsyncAgent",
    ),
    "agentkit.client.callbacks": ("ToolCallInfo",),
    "agentkit.client.inference": (
        "AsyncInference",
        "Inference",
        "async_inference",
        "inference",
    ),
    "agentkit.client.interrupt_streams": ("AsyncInterruptStream", "InterruptStream"),
    "agentkit.client.journal": ("Journal",),
    "agentkit.client.results": ("TurnResult",),
    "agentkit.client.sessions": (
        "AsyncSession",
        "Session",
    ),
    "agentkit.client.skills": ("skills_from",),
    "agentkit.client.task_streams": (
        "AsyncTaskStream",
        "TaskStream",
    ),
    "agentkit.client.turns": (
        "AsyncTurn",
        "Turn",
    ),
    "agentkit.client.mapping": ("AsyncTaskMap", "TaskMap"),
    "agentkit.client.uploads": ("Upload", "UploadFileOptions"),
    "agentkit.errors": (
        "APIError",
        "AgentKitError",
        "AlreadyResolvedError",
        "AppDefinitionError",
        "AppError",
        "AppInputError",
        "AppOutputError",
        "ApprovalNeededError",
        "FileError",
        "NotFoundError",
        "OutputError",
        "RequirementError",
        "RequirementsNotMetError",
        "RunCanceledError",
        "RunError",
        "RunFailedError",
        "RunLostError",
        "SessionEndedError",
        "SessionError",
        "SessionExpiredError",
        "SessionNotFoundError",
        "SetupAction",
        "TaskCanceledError",
        "TaskError",
        "TaskFailedError",
        "TaskLostError",
        "TaskTimeoutError",
        "ToolDefinitionError",
        "UsageError",
        "WorkerLostError",
    ),
    "agentkit.local": ("Runtime",),
    "agentkit.protocol.events": (
        "ApprovalRequested",
        "ApprovalResolved",
        "ChatChanged",
        "ChildEvent",
        "Fault",
        "LinkChanged",
        "MessageChanged",
        "OutputPartial",
        "ReasoningDelta",
        "RunFinished",
        "RunStarted",
        "TextDelta",
        "ToolAwaited",
        "ToolCalled",
        "ToolFinished",
        "ToolProgress",
        "ToolStarted",
        "TurnEvent",
        "Unknown",
    ),
    "agentkit.protocol.signing": ("verify_signature",),
    "agentkit.runtime.open": ("FleetConfig",),
    "agentkit.tools": (
        "NOT_DONE",
        "ToolContext",
        "ToolOutput",
        "agent_tool",
        "any_of",
        "app_tool",
        "approval_policy",
        "array",
        "boolean",
        "call_tool",
        "enum_of",
        "http_tool",
        "integer",
        "internal_tools",
        "mcp_server",
        "mcp_tool",
        "number",
        "obj",
        "openapi_tools",
        "optional",
        "string",
        "tool",
        "webhook_tool",
    ),
    "agentkit.wire": (
        "AgentConfig",
        "Always",
        "App",
        "AppSession",
        "AppVersion",
        "Chat",
        "ChatMessage",
        "FileRecord",
        "FileRef",
        "HookPayload",
        "HookResponse",
        "Interrupt",
        "Task",
        "TaskStatus",
        "Tool",
        "ToolCall",
        "ToolParameters",
        "is_message_ready",
        "is_terminal_status",
        "parse_status",
    ),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # pyright: ignore[reportUnsupportedDunderAll]: made of the table above


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'agentkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
