"""Every Python tool definition in the SDK's documents, as written there (seeds/001, seeds/003)."""

import json

from agentkit.tools import ToolContext, app_tool, call_tool, http_tool, internal_tools, mcp_tool, string, tool

CTX = ToolContext(chat_id="c", invocation_id="i", tool_name="t", idempotency_key="k")


def schema(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_creating_an_ad_hoc_agent() -> None:
    weather_tool = (
        tool("get_weather")
        .describe("Get current weather")
        .param("city", string("City name"))
        .handler(lambda args: '{"temp": 72, "conditions": "sunny"}')
    )
    assert weather_tool["schema"] == weather_tool.build() == weather_tool.spec
    assert json.loads(json.dumps(weather_tool["schema"])) == {
        "name": "get_weather",
        "display_name": "get_weather",
        "description": "Get current weather",
        "type": "client",
        "require_approval": False,
        "client": {"input_schema": schema(city={"type": "string", "description": "City name"})},
    }
    assert weather_tool["handler"]({"city": "Paris"}) == '{"temp": 72, "conditions": "sunny"}'
    assert weather_tool.call({"city": "Paris"}, CTX) == '{"temp": 72, "conditions": "sunny"}'


def test_per_chat_context_variables() -> None:
    lookup = (
        call_tool("fetch_user", "https://api.example.com/users/{{context.user_id}}")
        .auth(bearer="API_TOKEN")
        .describe("Fetch user profile")
        .build()
    )
    assert lookup["http"] == {
        "url": "https://api.example.com/users/{{context.user_id}}",
        "method": None,
        "auth": {"type": "bearer", "secret": "API_TOKEN"},
        "headers": None,
        "input_schema": schema(),
    }


def test_tool_builder_client_tool() -> None:
    search = tool("search").describe("Search files").param("pattern", string("Glob pattern")).build()
    assert search["name"] == "search"
    assert search["client"] == {"input_schema": schema(pattern={"type": "string", "description": "Glob pattern"})}


def test_tool_builder_app_tool() -> None:
    generate = (
        app_tool("generate", "infsh/flux-schnell@latest")
        .describe("Generate an image")
        .param("prompt", string("Image description"))
        .function("generate")
        .session_enabled()
        .require_approval()
        .build()
    )
    assert generate["require_approval"] is True
    assert generate["app"] == {
        "ref": "infsh/flux-schnell@latest",
        "function": "generate",
        "session_enabled": True,
        "input_schema": schema(prompt={"type": "string", "description": "Image description"}),
    }


def test_tool_builder_http_tool_with_auth() -> None:
    notify = (
        call_tool("notify", "https://api.example.com/notify")
        .method("POST")
        .auth(api_key="MY_API_KEY")
        .header("X-Tenant", "{{context.tenant_id}}")
        .param("message", string("Notification body"))
        .build()
    )
    assert notify["http"] == {
        "url": "https://api.example.com/notify",
        "method": None,
        "auth": {"type": "api_key", "secret": "MY_API_KEY", "header": "X-API-Key"},
        "headers": {"X-Tenant": "{{context.tenant_id}}"},
        "input_schema": schema(message={"type": "string", "description": "Notification body"}),
    }


def test_tool_builder_mcp_connector_tool() -> None:
    web_search = mcp_tool("web_search", "int-abc123", "search").describe("Search via connected MCP server").build()
    assert web_search["mcp"] == {"integration_id": "int-abc123", "tool_name": "search"}


def test_the_javascript_examples_in_python() -> None:
    gmail_send = (
        http_tool("gmail_send", "https://gmail.googleapis.com/gmail/v1/users/me/messages/send")
        .describe("Send an email via Gmail")
        .method("POST")
        .auth(integration="google", integration_id="your-integration-id")
        .build()
    )
    assert gmail_send["http"]["auth"] == {
        "type": "integration",
        "provider": "google",
        "integration_id": "your-integration-id",
    }
    notion = (
        mcp_tool("notion_search", "your-mcp-integration-id", "search")
        .describe("Search Notion pages")
        .param("query", string("Search query"))
        .build()
    )
    assert notion["mcp"] == {
        "integration_id": "your-mcp-integration-id",
        "tool_name": "search",
        "input_schema": schema(query={"type": "string", "description": "Search query"}),
    }
    image = app_tool("generate_image", "infsh/flux-schnell@abc123").param("prompt", string("Image")).require_approval()
    assert image.build()["require_approval"] is True
    assert internal_tools().memory().build() == {"memory": True}
