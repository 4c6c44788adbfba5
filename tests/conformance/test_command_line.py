"""`agentkit serve` as its own process, with a key file and the offline model: ours and the official SDKs reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit import inference
from tests.conformance.documents import play
from tests.conformance.official import Sdk
from tests.conformance.serve import serving

INVOICE = "Invoice 2041\nDate: 2026-03-14\nTotal: 118.50 EUR\nThank you for your business."
SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number"}, "currency": {"type": "string"}},
    "required": ["total", "currency"],
}
OFFLINE = ("--alias", "*=offline/extract")  # whatever model is asked for
CONFIG = {"core_app": {"ref": "infsh/claude-sonnet-4@abc123"}, "output_schema": SCHEMA}


@pytest.mark.requirement("sdk:command-line")
def test_the_wheels_extract_from_an_invoice_through_the_served_offline_model(wheel: Sdk, tmp_path: Path) -> None:
    program = f"""
    agent = client.agents.create({CONFIG})
    for _ in range(2):
        tell(output=agent.run({INVOICE!r}, on_message=lambda m: None), status=agent.get_chat()["status"])
    """
    with serving(tmp_path, *OFFLINE) as there:
        facts = wheel.run(program, url=there.url, key=there.key)
    assert facts == [{"output": {"total": 118.5, "currency": "EUR"}, "status": "idle"}] * 2


@pytest.mark.requirement("sdk:command-line")
def test_ours_continues_a_chat_that_the_wheel_began(published: Sdk, tmp_path: Path) -> None:
    program = f"""
    agent = client.agents.create({CONFIG})
    agent.run({INVOICE!r}, on_message=lambda m: None)
    tell(chat=agent.chat_id)
    """
    with serving(tmp_path, *OFFLINE) as there:
        (began,) = published.run(program, url=there.url, key=there.key)
        with inference(api_key=there.key, base_url=there.url) as client:
            agent = client.agents.resume(began["chat"])
            assert agent.get_chat()["output"] == {"total": 118.5, "currency": "EUR"}
            assert agent.run("Total: 20.00 USD") == {"total": 20.0, "currency": "USD"}


@pytest.mark.requirement("seed:blocks")
def test_the_documents_ad_hoc_agent_answers_on_a_machine_without_any_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"on_message": lambda message: None}
    with serving(tmp_path, *OFFLINE, asks_for_key=False) as there:
        monkeypatch.setenv("AGENTKIT_BASE_URL", there.url)
        play("creating_an_ad_hoc_agent", names)
        chat = names["agent"].get_chat()
        names["client"].close()
    (asked,) = [call for each in chat["chat_messages"] for call in each["tool_invocations"] or ()]
    assert asked["function"]["arguments"] == {"city": "Paris"}
    assert asked["result"] == '{"temp": 72, "conditions": "sunny"}'
    assert capsys.readouterr().out == "[Tool: get_weather]\n"
    assert "72" in "".join(part["text"] or "" for part in names["response"]["content"])
