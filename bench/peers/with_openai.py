"""openai-agents: `RunState` as JSON, approved after it is loaded."""

# pyright: reportMissingImports=false
# (the library is in an environment of its own)

from __future__ import annotations

import asyncio
from importlib.metadata import version

from agents import Agent, Runner, RunState, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call

from bench.peers.stage import AMOUNT, DONE, QUESTION, Stage, play


def agent(stage: Stage, *steps: object) -> Agent:
    @function_tool(needs_approval=True)
    def pay(amount: str) -> str:
        """Pays."""
        return stage.pay(amount)

    return Agent(name="payer", model=ScriptedModel([[each] for each in steps]), tools=[pay])


def ask(stage: Stage) -> str:
    payer = agent(stage, function_call("pay", {"amount": AMOUNT}, call_id="call_1"))
    result = asyncio.run(Runner.run(payer, QUESTION))
    (stage.folder / "state.json").write_text(result.to_state().to_string())
    return f"{len(result.interruptions)} pending"


def resume(stage: Stage) -> str:
    async def go_on() -> str:
        payer = agent(stage, assistant_message(DONE))
        state = await RunState.from_string(payer, (stage.folder / "state.json").read_text())
        for item in state.get_interruptions():
            state.approve(item)
        stage.ready()
        return str((await Runner.run(payer, state)).final_output)

    return asyncio.run(go_on())


if __name__ == "__main__":
    set_tracing_disabled(True)
    play("openai-agents", version("openai-agents"), {"ask": ask, "resume": resume})
