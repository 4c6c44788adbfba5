"""langgraph: `interrupt` in a tool, a SQLite checkpointer, `Command(resume=...)` on the checkpoint that was saved."""

# pyright: reportMissingImports=false
# (the library is in an environment of its own)

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt

from bench.peers.stage import AMOUNT, DONE, QUESTION, Stage, play

THREAD: Any = {"configurable": {"thread_id": "invoice"}}


def graph(stage: Stage, saver: SqliteSaver) -> Any:
    @tool
    def pay(amount: str) -> str:
        """Pays."""
        if interrupt({"tool": "pay", "amount": amount}) != "approve":
            return "rejected"
        return stage.pay(amount)

    def model(state: MessagesState) -> dict[str, Any]:
        if state["messages"][-1].type == "tool":
            return {"messages": [AIMessage(DONE)]}
        return {"messages": [AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": AMOUNT}, "id": "call_1"}])]}

    built = StateGraph(MessagesState)
    built.add_node("model", model)
    built.add_node("tools", ToolNode([pay]))
    built.add_edge(START, "model")
    built.add_conditional_edges("model", tools_condition)
    built.add_edge("tools", "model")
    return built.compile(checkpointer=saver)


def ask(stage: Stage) -> str:
    with SqliteSaver.from_conn_string(str(stage.folder / "state.db")) as saver:
        payer = graph(stage, saver)
        payer.invoke({"messages": [("user", QUESTION)]}, THREAD)
        state = payer.get_state(THREAD)
        (stage.folder / "config.json").write_text(json.dumps(state.config))
        return f"{len(state.interrupts)} pending"


def resume(stage: Stage) -> str:
    return _resumed(stage, json.loads((stage.folder / "config.json").read_text()))


def resume_thread(stage: Stage) -> str:
    return _resumed(stage, THREAD)


def _resumed(stage: Stage, config: Any) -> str:
    with SqliteSaver.from_conn_string(str(stage.folder / "state.db")) as saver:
        payer = graph(stage, saver)
        stage.ready()
        return str(payer.invoke(Command(resume="approve"), config)["messages"][-1].content)


if __name__ == "__main__":
    play("langgraph", version("langgraph"), {"ask": ask, "resume": resume, "resume_thread": resume_thread})
