"""An agent's configuration as it travels: what was written in Python, with its tools built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentkit.tools.output import Output
from agentkit.tools.schema import check_schema
from agentkit.tools.toolbox import Toolbox

__all__ = ["agent_config"]


def agent_config(given: Mapping[str, Any], toolbox: Toolbox, output: Output[Any] | None = None) -> dict[str, Any]:
    """The AgentConfig of a dict with these tools; an output type brings its schema and the finish tool.

    `core_app` may be the reference alone. Raises SchemaError for an `output_schema` that is none.
    """
    config = {**given, "tools": [dict(spec) for spec in toolbox.specs]}
    if output is not None:
        config["output_schema"] = dict(output.schema)
        config["internal_tools"] = {**(given.get("internal_tools") or {}), "finish": True}
    elif config.get("output_schema") is not None:
        check_schema(config["output_schema"], what="output_schema")
    core = config.get("core_app")
    if isinstance(core, str):
        config["core_app"] = {"ref": core}
    return config
