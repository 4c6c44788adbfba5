"""pydantic-ai: `DeferredToolRequests` end the run; its messages are saved, and a new run gets `DeferredToolResults`."""

# pyright: reportMissingImports=false
# (the library is in an environment of its own)

from __future__ import annotations

from importlib.metadata import version

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from bench.peers.stage import AMOUNT, DONE, QUESTION, Stage, play


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if any(part.part_kind == "tool-return" for message in messages for part in message.parts):
        return ModelResponse(parts=[TextPart(DONE)])
    return ModelResponse(parts=[ToolCallPart("pay", {"amount": AMOUNT}, tool_call_id="call_1")])


def agent(stage: Stage) -> Agent:
    found = Agent(FunctionModel(model), output_type=[str, DeferredToolRequests])

    @found.tool_plain(requires_approval=True)
    def pay(amount: str) -> str:
        """Pays."""
        return stage.pay(amount)

    return found


def ask(stage: Stage) -> str:
    result = agent(stage).run_sync(QUESTION)
    assert isinstance(result.output, DeferredToolRequests)
    (stage.folder / "state.json").write_bytes(result.all_messages_json())
    return f"{len(result.output.approvals)} pending"


def resume(stage: Stage) -> str:
    history = ModelMessagesTypeAdapter.validate_json((stage.folder / "state.json").read_bytes())
    approved = DeferredToolResults(approvals={"call_1": True})
    payer = agent(stage)
    stage.ready()
    return str(payer.run_sync(message_history=history, deferred_tool_results=approved).output)


if __name__ == "__main__":
    play("pydantic-ai", version("pydantic-ai-slim"), {"ask": ask, "resume": resume})
