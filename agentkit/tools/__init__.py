"""Tools: one file per kind, each with its builder, and what a handler sees and returns.

client app agent http webhook mcp internal    the builders: `tool("w")...`, `app_tool(...)`, and so on
params                                        `string()`, `obj()`, `optional()`: JSON Schema of parameters
function docstring signature                  `@tool` on a typed function
handler context arguments result              from the model's arguments to the handler and back
openapi openapi_schemas                       an OpenAPI document as HTTP tools
approval                                      who is asked about a call, when, and the rule that may allow it
output                                        `output_type=`: a type as JSON Schema, and back
toolbox config                                an agent's tools and its configuration: what travels, what stays
typed schema jsonable templates inputs        what those stand on
"""

from agentkit.tools._builder import ToolBuilder, ToolSpec
from agentkit.tools.agent import AgentToolBuilder, agent_tool
from agentkit.tools.app import AppToolBuilder, app_tool
from agentkit.tools.approval import Condition, Judge, approval_policy
from agentkit.tools.arguments import ArgumentSchema, check_arguments
from agentkit.tools.client import ClientTool, ClientToolBuilder, tool
from agentkit.tools.context import Progress, ToolContext, idempotency_key
from agentkit.tools.http import HttpToolBuilder, call_tool, http_tool
from agentkit.tools.internal import InternalToolsBuilder, internal_tools
from agentkit.tools.mcp import McpServerBuilder, McpToolBuilder, mcp_server, mcp_tool
from agentkit.tools.openapi import openapi_tools
from agentkit.tools.output import Output, output_of
from agentkit.tools.params import any_of, array, boolean, enum_of, integer, number, obj, optional, string
from agentkit.tools.reconciling import NOT_DONE, NotDone
from agentkit.tools.result import ToolOutput, result_text
from agentkit.tools.schema import check_schema
from agentkit.tools.toolbox import Toolbox
from agentkit.tools.webhook import WebhookToolBuilder, webhook_tool

__all__ = [
    "NOT_DONE",
    "AgentToolBuilder",
    "AppToolBuilder",
    "ArgumentSchema",
    "ClientTool",
    "ClientToolBuilder",
    "Condition",
    "HttpToolBuilder",
    "InternalToolsBuilder",
    "Judge",
    "McpServerBuilder",
    "McpToolBuilder",
    "NotDone",
    "Output",
    "Progress",
    "ToolBuilder",
    "ToolContext",
    "ToolOutput",
    "ToolSpec",
    "Toolbox",
    "WebhookToolBuilder",
    "agent_tool",
    "any_of",
    "app_tool",
    "approval_policy",
    "array",
    "boolean",
    "call_tool",
    "check_arguments",
    "check_schema",
    "enum_of",
    "http_tool",
    "idempotency_key",
    "integer",
    "internal_tools",
    "mcp_server",
    "mcp_tool",
    "number",
    "obj",
    "openapi_tools",
    "optional",
    "output_of",
    "result_text",
    "string",
    "tool",
    "webhook_tool",
]
