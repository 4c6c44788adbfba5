"""Hooks that could never be asked are refused with the message, or when the runtime starts."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.agents import check
from agentkit.runtime.faults import Fault
from agentkit.wire import AgentConfig
from tests.runtime.hooks.listening import hook
from tests.runtime.playing import playing

URL = "https://hooks.example/x"
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "event": (hook("agent.lunch", URL), "validation_error", "event is one of agent.start, "),
    "compaction": (hook("agent.pre_compact", URL), "not_configured", "compacts nothing"),
    "builtin": (hook("agent.start", "belt:suggest", type="builtin"), "not_configured", "no built-in hooks"),
    "type": (hook("agent.start", URL, type="pigeon"), "validation_error", "webhook, task, gate, not 'pigeon'"),
    "no-type": ({"event": "agent.start"}, "validation_error", "not ''"),
    "url": (hook("agent.start", "hooks.example"), "validation_error", "is not a full URL"),
    "no-url": (hook("agent.start", {"secret": "X"}), "validation_error", "a webhook's handler is its URL"),
    "placeholder": (hook("agent.start", URL + "/{{context.x}}"), "validation_error", "no placeholders"),
    "timeout": (hook("agent.start", URL, timeout=0), "validation_error", "timeout is in seconds"),
    "long-timeout": (hook("agent.start", URL, timeout=1e9), "validation_error", "3600 at most"),
    "not-a-number": (hook("agent.start", URL, timeout=float("nan")), "validation_error", "timeout is in seconds"),
    "default": (hook("agent.start", URL, default_resolution="stop"), "validation_error", "allow or deny, not 'stop'"),
    "agent": (hook("agent.start", 7, type="task"), "validation_error", "a task's handler is an agent"),
    "agent-ref": (hook("agent.start", "a b/c", type="task"), "validation_error", "a b/c"),
    "async-gate": (hook("agent.start", "", type="gate", **{"async": True}), "validation_error", "waited for"),
    "late-gate": (hook("agent.idle", "", type="gate"), "validation_error", "over by then"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_hook_that_is_none_is_refused_with_what_would_be_right(what: str) -> None:
    given, code, says = WRONG[what]
    with pytest.raises(Fault) as refused:
        check(AgentConfig.parse({"hooks": [given]}))
    assert refused.value.code == code
    assert says in str(refused.value)
    assert "hooks[0]" in str(refused.value)


async def test_an_agent_given_in_code_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"agent 'local/a': hooks\[0\]"):
        async with playing("never", agents={"local/a": {"hooks": [hook("agent.lunch", URL)]}}):
            raise AssertionError("it started")
