"""The public names, and the enums in the forms of seeds/003."""

from __future__ import annotations

import enum
import importlib
import pkgutil
import types

import pytest

import agentkit.types
import agentkit.wire


def public(module: types.ModuleType) -> set[str]:
    mine = {name for name in vars(module) if not name.startswith("_")}
    return {name for name in mine if not isinstance(getattr(module, name), types.ModuleType) and name != "annotations"}


@pytest.mark.parametrize("module", [agentkit.wire, agentkit.types], ids=lambda module: module.__name__)
def test_all_names_what_is_there_in_order(module: types.ModuleType) -> None:
    assert set(module.__all__) == public(module)
    assert len(module.__all__) == len(set(module.__all__))


def test_the_package_exports_what_its_modules_export() -> None:
    modules = [
        importlib.import_module(f"agentkit.wire.{info.name}")
        for info in pkgutil.iter_modules(agentkit.wire.__path__)
        if not info.name.startswith("_")
    ]
    exported = {name for module in modules for name in module.__all__}
    bases = {"DecodedObject", "Open", "Owned", "Resource", "Whole", "Wire", "WireBase"}
    assert set(agentkit.wire.__all__) == exported | bases


def test_types_holds_every_enum_and_nothing_else() -> None:
    enums = {name for name in agentkit.wire.__all__ if isinstance(getattr(agentkit.wire, name), enum.EnumMeta)}
    assert set(agentkit.types.__all__) == enums


@pytest.mark.parametrize("name", agentkit.types.__all__)
def test_a_member_compares_and_prints_as_what_travels(name: str) -> None:
    for member in getattr(agentkit.types, name):
        assert member == member.value
        assert f"{member}" == f"{member.value}"


SEED_MEMBERS = {  # seeds/003, "generated tool types" and "integration and instance enums"
    ("ToolCallType", "TOOL_TYPE_FUNCTION"): "function",
    ("ToolParamType", "OBJECT"): "object",
    ("ToolParamType", "STRING"): "string",
    ("ToolParamType", "INTEGER"): "integer",
    ("ToolParamType", "NUMBER"): "number",
    ("ToolParamType", "BOOLEAN"): "boolean",
    ("ToolParamType", "ARRAY"): "array",
    ("ToolParamType", "NULL"): "null",
    ("IntegrationProvider", "SLACK"): "slack",
    ("IntegrationAuthType", "O_AUTH"): "oauth",
    ("IntegrationStatus", "CONNECTED"): "connected",
    ("InstanceStatus", "CREATING"): "creating",
    ("InstanceStatus", "PENDING_PROVIDER"): "pending_provider",
    ("InstanceStatus", "ACTIVE"): "active",
    ("InstanceStatus", "ERROR"): "error",
}


@pytest.mark.parametrize(("name", "value"), SEED_MEMBERS.items(), ids=lambda each: str(each))
def test_the_members_of_the_readme_have_their_values(name: tuple[str, str], value: str) -> None:
    assert getattr(agentkit.types, name[0])[name[1]].value == value


TABLE = {  # protocol.md 9.1 and 9.2, newest values included
    "TaskLogType": "0 1 2 3 4",
    "FlowRunStatus": "0 1 2 3 4 5",
    "AppSessionStatus": "active ended expired",
    "ChatStatus": "busy idle awaiting_input completed waiting",
    "ChatMessageRole": "system user assistant tool injection compaction event",
    "ChatMessageStatus": "pending ready failed cancelled queued",
    "ChatMessageContentType": "text reasoning image file tool event",
    "ToolType": "app agent hook http call mcp client internal harness",
    "ToolInvocationStatus": "pending in_progress awaiting_input awaiting_approval completed failed cancelled waiting",
    "PlanStepStatus": "pending in_progress completed cancelled",
    "Infra": "private cloud private_first remote",
    "Visibility": "private public unlisted team org",
    "AppCategory": "image video audio text chat 3d other flow decision",
    "AppStatus": "active maintenance deprecated retired",
    "GPUType": "any none intel nvidia amd apple",
    "ContentRating": "safe sexual_suggestive sexual_explicit violence_non_graphic violence_graphic gore unrated",
    "MetaItemType": "text image video audio raw",
    "VideoResolution": "480p 720p 1080p 1440p 4k",
    "FilterOperator": "eq neq in not_in gt gte lt lte like ilike contains not_contains is_null is_not_null is_empty "
    "is_not_empty",
    "RequirementType": "secret integration scope credential",
    "SetupActionType": "add_secret connect add_scopes",
    "WorkerStatus": "reserved busy idle inactive",
    "EngineStatus": "running pending draining stopping stopped disconnected restarting",
    "InstanceStatus": "creating pending_provider pending active error deleting deleted",
    "IntegrationAuthType": "service_account oauth api_key wif mcp",
    "IntegrationStatus": "connected disconnected expired error pending",
    "MCPServerAuthType": "oauth api_key none",
    "AgentRunState": "submitted working input_required auth_required completed failed canceled rejected",
    "InterruptReason": "wait tool_approval client_tool widget auth confirmation hook_gate",
    "InterruptStatus": "pending resolved expired cancelled",
    "InterruptResolution": "allow deny",
    "InterruptResourceType": "turn tool_invocation hook_event",
    "AlwaysAllowScope": "exact prefix folder remote tool",
    "HookEvent": "agent.start agent.turn_start agent.tool_call agent.tool_result agent.turn_complete agent.error "
    "agent.complete agent.idle agent.pre_compact agent.post_compact",
    "WidgetNodeType": "text markdown image badge button input select checkbox row col box spacer divider form title "
    "caption label textarea radio-group date-picker icon chart transition plan-list key-value status-badge",
}


@pytest.mark.parametrize("name", TABLE)
def test_an_enum_has_the_values_of_the_protocol(name: str) -> None:
    assert [str(member.value) for member in getattr(agentkit.types, name)] == TABLE[name].split()
