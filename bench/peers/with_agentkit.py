"""agentkit: the question is a row in the platform's store; what is saved is its id and the hash of what was shown.

Whoever is refused goes on with the chat all the same, which is the harder case.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from agentkit import Agent, AlreadyResolvedError, Inference, Runtime, __version__, tool
from agentkit.testing import Scripted, call
from bench.peers.stage import AMOUNT, DONE, QUESTION, Stage, play


def tools(stage: Stage) -> list[Any]:
    @tool(require_approval=True)
    def pay(amount: str) -> str:
        """Pay."""
        return stage.pay(amount)

    return [pay]


@contextmanager
def client(stage: Stage, *steps: Any) -> Generator[Inference]:
    script = Scripted(list(steps))
    with Runtime(stage.folder / "state.db", models={"scripted": script}, environ={}) as runtime:
        yield runtime.client(journal=stage.folder / "journal.db")


def ask(stage: Stage) -> str:
    with client(stage, call("pay", {"amount": AMOUNT})) as platform:
        agent = platform.agent({"core_app": {"ref": "scripted/model"}, "tools": tools(stage)})
        agent.send_message(QUESTION, when_parked="return")
        pending = agent.pending()
        saved = {"chat_id": agent.chat_id, "id": pending[0].resource_id, "shown": pending[0].arguments_hash}
    (stage.folder / "saved.json").write_text(json.dumps(saved))
    return f"{len(pending)} pending"


def resume(stage: Stage) -> str:
    saved = json.loads((stage.folder / "saved.json").read_text())
    with client(stage, DONE) as platform:
        agent = platform.agents.resume(saved["chat_id"], tools=tools(stage))
        stage.ready()
        refusal = ""
        try:
            agent.approve(saved["id"], arguments_hash=saved["shown"])
        except AlreadyResolvedError as error:
            refusal = f"refused: {type(error).__name__}: {error}; "
        return refusal + _end(agent)


def _end(agent: Agent) -> str:
    result = agent.resume(when_parked="return").result()
    asked = [str(each.meta["why"]) for each in result.pending if isinstance(each.meta, dict)]
    return f"asks: {asked[0]}" if asked else result.text


if __name__ == "__main__":
    play("agentkit", __version__, {"ask": ask, "resume": resume})
