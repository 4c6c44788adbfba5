"""A program that runs an agent, and a person at its terminal who answers what the agent asks."""

from __future__ import annotations

import io
import sys

import pytest

from agentkit import Runtime, internal_tools
from agentkit.cli.terminal import ask_at_terminal
from agentkit.testing import Scripted, call
from tests.cli.console import Console
from tests.examples.terminal import at_a_terminal

pytestmark = pytest.mark.timeout(120)

PROGRAM = """
from agentkit import Runtime, internal_tools, tool
from agentkit.cli.terminal import ask_at_terminal
from agentkit.protocol.events import ApprovalRequested
from agentkit.testing import Scripted, call

@tool(require_approval=True)
def pay(to: str, amount: float) -> str:
    "Pays."
    print("paid", to, amount, flush=True)
    return "paid"

asked = call("ask_user", {"question": "Which colour?", "choices": ["red", "green"]})
script = Scripted([call("pay", {"to": "Ada", "amount": 90}), asked, "Done."])
with Runtime(models={"scripted": script}) as runtime:
    tools = internal_tools().ask_user().build()
    agent = runtime.client().agent({"core_app": "scripted/demo", "tools": [pay], "internal_tools": tools})
    with agent.stream("go") as turn:
        for event in turn:
            if isinstance(event, ApprovalRequested):
                print("answered", ask_at_terminal(agent, event.interrupt, by="ann"), flush=True)
    print(agent.get_chat().chat_messages[-1].text)
"""


@pytest.mark.heavy
def test_the_person_at_the_terminal_answers_what_the_agent_asks(console: Console) -> None:
    (console.folder / "program.py").write_text(PROGRAM)
    env = {**console.environ, "TERM": "dumb"}
    with at_a_terminal([sys.executable, "program.py"], cwd=console.folder, env=env) as terminal:
        terminal.wait_for("amount (number): 90")
        terminal.wait_for("[s]kip, [q]uit: ")
        terminal.type("e\r")
        terminal.type('amount="much"\r\r')
        terminal.wait_for("[y/N] ")
        terminal.type("y\r")
        terminal.wait_for("is not of type 'number'")
        terminal.wait_for("[s]kip, [q]uit: ")
        terminal.type("a\r")
        terminal.wait_for("answered True")
        terminal.wait_for("paid Ada 90")
        terminal.wait_for("Which colour?")
        terminal.wait_for("[q]uit: ")
        terminal.type("a\r")
        terminal.wait_for("its number")
        terminal.type("2\r")
        terminal.wait_for("answered True")
        terminal.wait_for("Done.")
        assert terminal.end() == 0


@pytest.mark.parametrize("typed", ["a\n2\n", "r\nno\n"], ids=["answer", "decline"])
def test_who_is_late_at_the_terminal_is_told_so(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asks = call("ask_user", {"question": "Which colour?", "choices": ["red", "green"]})
    with Runtime(models={"scripted": Scripted([asks, "Done."])}) as runtime:
        client = runtime.client()
        agent = client.agent({"core_app": "scripted/demo", "internal_tools": internal_tools().ask_user().build()})
        (asked,) = agent.stream("go", when_parked="return").result().pending
        client.interrupts.respond(asked.id, "red")
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        assert ask_at_terminal(agent, asked)
        assert "answered" in capsys.readouterr().err
        assert agent.resume().text() == "Done."
