"""The enums of the workspace: who may see and do what, where things run, and what is connected (protocol.md 9.1).

Members are named as in the official SDK's `types` module; values are what travels. All are open: a server may send
values that are not listed here.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

__all__ = [
    "EngineStatus",
    "FlowRunStatus",
    "InstanceStatus",
    "IntegrationAuthType",
    "IntegrationProvider",
    "IntegrationStatus",
    "MCPServerAuthType",
    "RequirementType",
    "Scope",
    "SetupActionType",
    "Visibility",
    "WorkerStatus",
]


class Visibility(StrEnum):
    """Who may see a resource; `team` and `org` are newer."""

    PRIVATE = "private"
    PUBLIC = "public"
    UNLISTED = "unlisted"
    TEAM = "team"
    ORG = "org"


class RequirementType(StrEnum):
    """What an app misses (412); `credential` is the newest name of `integration` (protocol.md 10 row 45)."""

    SECRET = "secret"
    INTEGRATION = "integration"
    SCOPE = "scope"
    CREDENTIAL = "credential"


class SetupActionType(StrEnum):
    """What would meet a requirement."""

    ADD_SECRET = "add_secret"
    CONNECT = "connect"
    ADD_SCOPES = "add_scopes"


class FlowRunStatus(IntEnum):
    """How far a flow run is."""

    UNKNOWN = 0
    PENDING = 1
    RUNNING = 2
    COMPLETED = 3
    FAILED = 4
    CANCELLED = 5


class WorkerStatus(StrEnum):
    """What a worker does."""

    RESERVED = "reserved"
    BUSY = "busy"
    IDLE = "idle"
    INACTIVE = "inactive"


class EngineStatus(StrEnum):
    """What a machine with workers does; the last two are newer."""

    RUNNING = "running"
    PENDING = "pending"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DISCONNECTED = "disconnected"
    RESTARTING = "restarting"


class InstanceStatus(StrEnum):
    """The life of a rented machine."""

    CREATING = "creating"
    PENDING_PROVIDER = "pending_provider"
    PENDING = "pending"
    ACTIVE = "active"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


class IntegrationProvider(StrEnum):
    """Whom a workspace can be connected with; `google-sa` is newer."""

    GOOGLE = "google"
    SLACK = "slack"
    NOTION = "notion"
    GIT_HUB = "github"
    X = "x"
    MICROSOFT = "microsoft"
    SALESFORCE = "salesforce"
    DISCORD = "discord"
    GCP = "gcp"
    MCP = "mcp"
    REDDIT = "reddit"
    GOOGLE_SA = "google-sa"


class IntegrationAuthType(StrEnum):
    """How an integration proves itself."""

    SERVICE_ACCOUNT = "service_account"
    O_AUTH = "oauth"
    API_KEY = "api_key"
    WIF = "wif"
    MCP = "mcp"


class IntegrationStatus(StrEnum):
    """Whether an integration works; `pending` is newer."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    EXPIRED = "expired"
    ERROR = "error"
    PENDING = "pending"


class MCPServerAuthType(StrEnum):
    """How an MCP server wants to be called."""

    MCP_SERVER_AUTH_O_AUTH = "oauth"
    MCP_SERVER_AUTH_API_KEY = "api_key"
    MCP_SERVER_AUTH_NONE = "none"


class Scope(StrEnum):
    """What an API key may do: `*`, a whole group, or one verb of it. The last block is newer."""

    ALL = "*"
    AGENTS = "agents"
    APPS = "apps"
    CONVERSATIONS = "conversations"
    FILES = "files"
    DATASTORES = "datastores"
    TEMPLATES = "templates"
    FLOWS = "flows"
    PROJECTS = "projects"
    TEAMS = "teams"
    BILLING = "billing"
    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    AGENTS_EXECUTE = "agents:execute"
    APPS_READ = "apps:read"
    APPS_WRITE = "apps:write"
    APPS_EXECUTE = "apps:execute"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    DATASTORES_READ = "datastores:read"
    DATASTORES_WRITE = "datastores:write"
    FLOWS_READ = "flows:read"
    FLOWS_WRITE = "flows:write"
    FLOWS_EXECUTE = "flows:execute"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    TEAMS_READ = "teams:read"
    TEAMS_WRITE = "teams:write"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"
    SECRETS_READ = "secrets:read"
    SECRETS_WRITE = "secrets:write"
    INTEGRATIONS_READ = "integrations:read"
    INTEGRATIONS_WRITE = "integrations:write"
    ENGINES_READ = "engines:read"
    ENGINES_WRITE = "engines:write"
    API_KEYS_READ = "apikeys:read"
    API_KEYS_WRITE = "apikeys:write"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    APPROVALS_WRITE = "approvals:write"
    SECRETS_REVEAL = "secrets:reveal"
    STORE_PRICING = "store:pricing"
    STORE_SUBMIT = "store:submit"
    CONTENT_WRITE = "content:write"
