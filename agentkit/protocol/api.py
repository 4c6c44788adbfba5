"""The whole REST surface on one page: what the client calls, the runtime serves and `openapi.json` prints.

A row is found by its name; the sources of each are protocol.md 2.5, 3.2, 4.1, 5.1, 6.1 to 6.5 and 8.5.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

from agentkit.protocol.endpoint import Endpoint
from agentkit.wire import (
    Agent,
    AgentVersion,
    AlwaysAllow,
    AlwaysAllowOption,
    ApiKey,
    App,
    AppSession,
    AppVersion,
    AvailableIntegration,
    CancelTaskRequest,
    Chat,
    ChatMessage,
    CheckRequirements,
    Connecting,
    ConnectIntegration,
    CreateAgentRequest,
    CreateApiKey,
    CreateAppRequest,
    CreateFilesRequest,
    CreateSecret,
    CursorListRequest,
    Decide,
    DeletedFiles,
    Explanation,
    FileRecord,
    Integration,
    InternalToolInfo,
    Interrupt,
    Page,
    RejectTool,
    RequirementsProblem,
    ResolveInterrupt,
    ResourceStatus,
    RunAgentReply,
    RunAgentRequest,
    RunTaskRequest,
    Scopes,
    Secret,
    SetCurrentVersion,
    SetFeatured,
    SetVisibility,
    SubmitToolResult,
    Task,
    TaskFile,
    TaskLogs,
    TaskTimings,
    ToolInvocation,
    UnknownOutcome,
    UpdateSecret,
)

# -- agents --------------------------------------------------------------------------------------------------------

RUN_AGENT = Endpoint(
    "POST",
    "/agents/run",
    "Send a message; starts a chat where none is named",
    RunAgentRequest,
    RunAgentReply,
    scope="agents:execute",
    takes_key=True,
)
CREATE_AGENT = Endpoint(
    "POST", "/agents", "Store an agent, or a new version of one", CreateAgentRequest, Agent, scope="agents:write"
)
LIST_AGENTS = Endpoint(
    "POST", "/agents/list", "List stored agents", CursorListRequest, Page[Agent], scope="agents:read"
)
INTERNAL_TOOLS = Endpoint(
    "GET",
    "/agents/internal-tools",
    "The tools the platform itself offers",
    NoneType,
    list[InternalToolInfo],
    scope="agents:read",
)
GET_AGENT = Endpoint("GET", "/agents/{agent_id}", "One stored agent", NoneType, Agent, scope="agents:read")
GET_AGENT_BY_NAME = Endpoint(
    "GET", "/agents/{namespace}/{name}", "One stored agent, by its name", NoneType, Agent, scope="agents:read"
)
UPDATE_AGENT = Endpoint(
    "POST", "/agents/{agent_id}", "Store a new version", CreateAgentRequest, Agent, scope="agents:write"
)
DELETE_AGENT = Endpoint(
    "DELETE", "/agents/{agent_id}", "Delete a stored agent; its chats stay", NoneType, NoneType, scope="agents:write"
)
LIST_AGENT_VERSIONS = Endpoint(
    "POST",
    "/agents/{agent_id}/versions/list",
    "The versions of an agent, newest first",
    CursorListRequest,
    Page[AgentVersion],
    scope="agents:read",
)
GET_AGENT_VERSION = Endpoint(
    "GET",
    "/agents/{agent_id}/versions/{version_id}",
    "One version of an agent",
    NoneType,
    AgentVersion,
    scope="agents:read",
)

# -- chats ---------------------------------------------------------------------------------------------------------

LIST_CHATS = Endpoint("POST", "/chats/list", "List chats", CursorListRequest, Page[Chat], scope="conversations:read")
GET_CHAT = Endpoint("GET", "/chats/{chat_id}", "One chat with its messages", NoneType, Chat, scope="conversations:read")
DELETE_CHAT = Endpoint(
    "DELETE", "/chats/{chat_id}", "Stop and delete a chat", NoneType, NoneType, scope="conversations:write"
)
CHAT_STATUS = Endpoint(
    "GET", "/chats/{chat_id}/status", "Status only, for polling", NoneType, ResourceStatus, scope="conversations:read"
)
CHAT_MESSAGES = Endpoint(
    "GET",
    "/chats/{chat_id}/messages",
    "The newest messages; older ones by cursor",
    NoneType,
    Page[ChatMessage],
    scope="conversations:read",
    query=("limit", "cursor"),
)
STREAM_CHAT = Endpoint(
    "GET",
    "/chats/{chat_id}/stream",
    "Everything that happens in the chat, as NDJSON or SSE",
    NoneType,
    NoneType,
    scope="conversations:read",
    query=("after",),
    is_stream=True,
)
STOP_CHAT = Endpoint(
    "POST", "/chats/{chat_id}/stop", "Stop the run and its open tools", NoneType, NoneType, scope="conversations:write"
)

# -- tool invocations and interrupts -------------------------------------------------------------------------------

SUBMIT_TOOL_RESULT = Endpoint(
    "POST",
    "/tools/{invocation_id}",
    "Answer a client tool, a widget, or a webhook tool with the `token` of its callback URL",
    SubmitToolResult,
    NoneType,
    scope="conversations:write",
    query=("token",),
    takes_key=True,
)
UNKNOWN_OUTCOME = Endpoint(
    "POST",
    "/tools/{invocation_id}/unknown",
    "Say that a client tool was begun, and that nobody knows what came of it",
    UnknownOutcome,
    ToolInvocation,
    scope="conversations:write",
    takes_key=True,
)
INVOKE_TOOL = Endpoint(
    "POST", "/tools/{invocation_id}/invoke", "Approve a call", Decide, NoneType, scope="approvals:write", takes_key=True
)
REJECT_TOOL = Endpoint(
    "POST",
    "/tools/{invocation_id}/reject",
    "Reject a call",
    RejectTool,
    NoneType,
    scope="approvals:write",
    takes_key=True,
)
ALWAYS_ALLOW = Endpoint(
    "POST",
    "/chats/{chat_id}/tools/{invocation_id}/always-allow",
    "Approve this call and later ones of the tool in this chat",
    AlwaysAllow,
    NoneType,
    scope="approvals:write",
)
ALWAYS_ALLOW_OPTIONS = Endpoint(
    "GET",
    "/chats/{chat_id}/tools/{invocation_id}/always-allow/options",
    "The rules that would allow this call",
    NoneType,
    list[AlwaysAllowOption],
    scope="conversations:read",
)
EXPLAIN_CALL = Endpoint(
    "POST",
    "/chats/{chat_id}/tools/{invocation_id}/explain",
    "An account of the call, for the person who is asked",
    NoneType,
    Explanation,
    scope="conversations:read",
)
LIST_INTERRUPTS = Endpoint(
    "GET",
    "/interrupts",
    "The inbox: what people are asked, in every chat, what waits longest first",
    NoneType,
    Page[Interrupt],
    scope="conversations:read",
    query=("status", "reason", "chat_id", "tool", "mine", "order", "limit", "cursor"),
)
STREAM_INTERRUPTS = Endpoint(
    "GET",
    "/interrupts/stream",
    "What waits, then every change of every question, as NDJSON or SSE",
    NoneType,
    NoneType,
    scope="conversations:read",
    query=("after", "mine"),
    is_stream=True,
)
GET_INTERRUPT = Endpoint(
    "GET",
    "/interrupts/{interrupt_id}",
    "One question, with what a person needs to know to answer it",
    NoneType,
    Interrupt,
    scope="conversations:read",
)
RESOLVE_INTERRUPT = Endpoint(
    "POST",
    "/interrupts/{interrupt_id}/resolve",
    "Answer an interrupt, once",
    ResolveInterrupt,
    Interrupt,
    scope="approvals:write",
    takes_key=True,
)
RUN_INTERRUPTS = Endpoint(
    "GET",
    "/agent-runs/{run_id}/interrupts",
    "The interrupts of a run",
    NoneType,
    list[Interrupt],
    scope="conversations:read",
)

# -- tasks -----------------------------------------------------------------------------------------------------------

RUN = Endpoint(
    "POST",
    "/run",
    "Run an app and wait for its result, unless `wait` is false",
    RunTaskRequest,
    Task,
    scope="apps:execute",
    query=("wait",),
    takes_key=True,
)
RUN_TASK = Endpoint(
    "POST",
    "/apps/run",
    "Run an app; answers at once, unless `wait` is true",
    RunTaskRequest,
    Task,
    scope="apps:execute",
    query=("wait",),
    takes_key=True,
)
LIST_TASKS = Endpoint("POST", "/tasks/list", "List tasks", CursorListRequest, Page[Task], scope="apps:read")
FEATURED_TASKS = Endpoint(
    "GET", "/tasks/featured", "List featured tasks", NoneType, Page[Task], scope="apps:read", query=("limit", "cursor")
)
GET_TASK = Endpoint("GET", "/tasks/{task_id}", "One task", NoneType, Task, scope="apps:read")
DELETE_TASK = Endpoint(
    "DELETE",
    "/tasks/{task_id}",
    "Cancel and delete a task, with `files` also what it made",
    NoneType,
    NoneType,
    scope="apps:execute",
    query=("files",),
)
TASK_STATUS = Endpoint(
    "GET", "/tasks/{task_id}/status", "Status only, for polling", NoneType, ResourceStatus, scope="apps:read"
)
STREAM_TASK = Endpoint(
    "GET",
    "/tasks/{task_id}/stream",
    "The task and its every change until it is over, as NDJSON or SSE",
    NoneType,
    NoneType,
    scope="apps:read",
    is_stream=True,
)
CANCEL_TASK = Endpoint(
    "POST", "/tasks/{task_id}/cancel", "Cancel a task", CancelTaskRequest, Task, scope="apps:execute"
)
TASK_LOGS = Endpoint("GET", "/tasks/{task_id}/logs", "What the task printed", NoneType, TaskLogs, scope="apps:read")
TASK_TIMINGS = Endpoint(
    "GET", "/tasks/{task_id}/timings", "Where the task's time went", NoneType, TaskTimings, scope="apps:read"
)
TASK_FILES = Endpoint(
    "GET",
    "/tasks/{task_id}/files",
    "The files of a task",
    NoneType,
    list[TaskFile],
    scope="apps:read",
    query=("role",),
)
DELETE_TASK_FILES = Endpoint(
    "DELETE",
    "/tasks/{task_id}/files",
    "Delete the files of a task",
    NoneType,
    DeletedFiles,
    scope="files:write",
    query=("role",),
)
SET_TASK_VISIBILITY = Endpoint(
    "POST", "/tasks/{task_id}/visibility", "Who may see the task", SetVisibility, Task, scope="apps:execute"
)
FEATURE_TASK = Endpoint(
    "POST", "/tasks/{task_id}/featured", "Feature the task, or no longer", SetFeatured, Task, scope="apps:execute"
)

# -- sessions --------------------------------------------------------------------------------------------------------

LIST_SESSIONS = Endpoint("GET", "/sessions", "The active sessions", NoneType, list[AppSession], scope="apps:read")
GET_SESSION = Endpoint("GET", "/sessions/{session_id}", "One session", NoneType, AppSession, scope="apps:read")
KEEP_SESSION = Endpoint(
    "POST",
    "/sessions/{session_id}/keepalive",
    "Begin the idle time anew",
    NoneType,
    AppSession,
    scope="apps:execute",
)
END_SESSION = Endpoint("DELETE", "/sessions/{session_id}", "End a session", NoneType, NoneType, scope="apps:execute")

# -- apps ------------------------------------------------------------------------------------------------------------

CREATE_APP = Endpoint(
    "POST", "/apps", "Store an app, or a new version of one", CreateAppRequest, App, scope="apps:write"
)
LIST_APPS_GET = Endpoint("GET", "/apps", "List apps", NoneType, Page[App], scope="apps:read", query=("cursor", "limit"))
LIST_APPS = Endpoint("POST", "/apps/list", "List apps", CursorListRequest, Page[App], scope="apps:read")
GET_APP = Endpoint("GET", "/apps/{app_id}", "One app with its current version", NoneType, App, scope="apps:read")
GET_APP_BY_NAME = Endpoint("GET", "/apps/{namespace}/{name}", "One app, by its name", NoneType, App, scope="apps:read")
UPDATE_APP = Endpoint("POST", "/apps/{app_id}", "Change an app", CreateAppRequest, App, scope="apps:write")
DELETE_APP = Endpoint(
    "DELETE", "/apps/{app_id}", "Delete an app; its tasks stay", NoneType, NoneType, scope="apps:write"
)
SET_APP_VISIBILITY = Endpoint(
    "POST", "/apps/{app_id}/visibility", "Who may see and run the app", SetVisibility, App, scope="apps:write"
)
LIST_APP_VERSIONS_GET = Endpoint(
    "GET",
    "/apps/{app_id}/versions",
    "The versions of an app, newest first",
    NoneType,
    Page[AppVersion],
    scope="apps:read",
    query=("cursor", "limit"),
)
LIST_APP_VERSIONS = Endpoint(
    "POST",
    "/apps/{app_id}/versions/list",
    "The versions of an app, newest first",
    CursorListRequest,
    Page[AppVersion],
    scope="apps:read",
)
GET_APP_VERSION = Endpoint(
    "GET", "/apps/{app_id}/versions/{version_id}", "One version of an app", NoneType, AppVersion, scope="apps:read"
)
SET_CURRENT_VERSION = Endpoint(
    "PUT",
    "/apps/{app_id}/versions/{version_id}/current",
    "Make a version the one that runs",
    NoneType,
    App,
    scope="apps:write",
)
SET_CURRENT_VERSION_POST = Endpoint(  # protocol.md 10, #26: the JavaScript SDK 0.6.10 still calls it
    "POST", "/apps/{app_id}/current-version", "Make a version the one that runs", SetCurrentVersion, App,
    scope="apps:write",
)  # fmt: skip
FLEET = Endpoint(
    "GET", "/fleet", "The workers, the queue and what they have done", NoneType, dict[str, Any], scope="apps:read"
)

# -- files ---------------------------------------------------------------------------------------------------------

CREATE_FILES = Endpoint(
    "POST",
    "/files",
    "Announce files; answers where to PUT them",
    CreateFilesRequest,
    list[FileRecord],
    scope="files:write",
)
LIST_FILES = Endpoint("POST", "/files/list", "List files", CursorListRequest, Page[FileRecord], scope="files:read")
GET_FILE = Endpoint("GET", "/files/{file_id}", "One file's record", NoneType, FileRecord, scope="files:read")
DELETE_FILE = Endpoint("DELETE", "/files/{file_id}", "Delete a file", NoneType, NoneType, scope="files:write")
PUT_FILE = Endpoint(
    "PUT",
    "/files/{file_id}/content",
    "The bytes of an announced file, once",
    NoneType,
    NoneType,
    query=("token",),
    is_public=True,
)
FILE_CONTENT = Endpoint(
    "GET", "/files/{file_id}/content", "The bytes of a file", NoneType, NoneType, scope="files:read", is_stream=True
)

# -- secrets, integrations, API keys -------------------------------------------------------------------------------
# None takes an Idempotency-Key: the answer that is kept for it, or the hash of the body, would tell of a secret.

LIST_SECRETS = Endpoint(
    "POST", "/secrets/list", "List secrets, without their values", CursorListRequest, Page[Secret], scope="secrets:read"
)
CREATE_SECRET = Endpoint("POST", "/secrets", "Store a secret", CreateSecret, Secret, scope="secrets:write")
REVEAL_SECRET = Endpoint(
    "GET", "/secrets/reveal/{key}", "Refused: a secret is shown to nobody", NoneType, NoneType, scope="secrets:reveal"
)
UPDATE_SECRET = Endpoint(
    "PUT", "/secrets/{key}", "Change a secret's value or description", UpdateSecret, Secret, scope="secrets:write"
)
DELETE_SECRET = Endpoint("DELETE", "/secrets/{key}", "Delete a secret", NoneType, NoneType, scope="secrets:write")
LIST_INTEGRATIONS = Endpoint(
    "POST",
    "/integrations/list",
    "List what is connected",
    CursorListRequest,
    Page[Integration],
    scope="integrations:read",
)
AVAILABLE_INTEGRATIONS = Endpoint(
    "GET",
    "/integrations/available",
    "What can be connected",
    NoneType,
    list[AvailableIntegration],
    scope="integrations:read",
)
CONNECT_INTEGRATION = Endpoint(
    "POST",
    "/integrations",
    "Connect a provider: by API key at once, by OAuth with an address to open in a browser",
    ConnectIntegration,
    Connecting,
    scope="integrations:write",
)
CHECK_REQUIREMENTS = Endpoint(
    "POST",
    "/integrations/check",
    "Whether secrets and integrations are there",
    CheckRequirements,
    RequirementsProblem,
    scope="integrations:read",
)
INTEGRATION_CALLBACK = Endpoint(
    "GET",
    "/integrations/callback",
    "Where a provider sends the browser back to",
    NoneType,
    Integration,
    query=("state", "code", "error"),
    is_public=True,
)
GET_INTEGRATION = Endpoint(
    "GET", "/integrations/{provider}", "One connection", NoneType, Integration, scope="integrations:read"
)
DELETE_INTEGRATION = Endpoint(
    "DELETE",
    "/integrations/{provider}",
    "Disconnect; the tokens are forgotten",
    NoneType,
    NoneType,
    scope="integrations:write",
)
LIST_API_KEYS = Endpoint(
    "POST", "/apikeys/list", "List API keys, masked", CursorListRequest, Page[ApiKey], scope="apikeys:read"
)
CREATE_API_KEY = Endpoint(
    "POST", "/apikeys", "Make an API key; only this answer has it", CreateApiKey, ApiKey, scope="apikeys:write"
)
DELETE_API_KEY = Endpoint("DELETE", "/apikeys/{key_id}", "Delete an API key", NoneType, NoneType, scope="apikeys:write")
SCOPES = Endpoint("GET", "/scopes", "What an API key can be allowed", NoneType, Scopes, scope="apikeys:read")

# -- the service itself --------------------------------------------------------------------------------------------

OPENAPI = Endpoint("GET", "/openapi.json", "This table", NoneType, dict[str, Any], is_public=True)
HEALTH = Endpoint("GET", "/health", "Whether it answers", NoneType, dict[str, Any], is_public=True)

ALIASES: dict[str, tuple[Endpoint[Any, Any], ...]] = {  # what the newest SDKs call
    "/agents/message": (RUN_AGENT,),  # protocol.md 6.2
    "/agents/messages": (RUN_AGENT,),
    "/credentials": (CONNECT_INTEGRATION,),  # protocol.md 8.5
    "/credentials/list": (LIST_INTEGRATIONS,),
    "/credentials/available": (AVAILABLE_INTEGRATIONS,),
    "/credentials/check": (CHECK_REQUIREMENTS,),
    "/credentials/{provider}": (GET_INTEGRATION, DELETE_INTEGRATION),
}

ENDPOINTS: dict[str, Endpoint[Any, Any]] = {
    name: value for name, value in globals().items() if isinstance(value, Endpoint)
}
"""Every row, by its name."""
