"""A client that is killed around the one call that must not be made twice.

`python -m tests.faults.paying URL LEDGER JOURNAL KIND MOMENT` sends the question, says its chat's id, and ends by
SIGKILL at that moment: before the payment, after it, once the journal has its result, or once the platform has it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agentkit import NOT_DONE, Inference, ToolContext, ToolFinished, integer, tool
from tests.faults.play import patient

__all__ = ["AGENT", "KINDS", "MOMENTS", "payment", "payments", "run_until_killed"]

AGENT: Final = {"core_app": {"ref": "scripted/till"}}
KINDS: Final = ("plain", "idempotent", "reconcile")
MOMENTS: Final = ("before", "after", "journaled", "posted")


def payments(ledger: Path) -> list[str]:
    """The keys of the payments that were made, in order."""
    return ledger.read_text().split() if ledger.exists() else []


def payment(ledger: Path, kind: str, at: Callable[[str, str], None] = lambda moment, chat_id: None) -> Any:
    """The tool. `at` is called with the moment and the chat, before and after the payment."""

    def pay(args: dict[str, Any], ctx: ToolContext) -> str:
        at("before", ctx.chat_id)
        with ledger.open("a") as file:
            file.write(f"{ctx.idempotency_key}\n")
        at("after", ctx.chat_id)
        return "paid"

    def find(args: dict[str, Any], ctx: ToolContext) -> Any:
        return "paid" if ctx.idempotency_key in payments(ledger) else NOT_DONE

    made = tool("pay").describe("Pays").param("amount", integer("How much")).handler(pay)
    return {"plain": made, "idempotent": made.idempotent(), "reconcile": made.reconcile(find)}[kind]


def run_until_killed(url: str, ledger: Path, journal: Path, kind: str, moment: str) -> str:
    """Runs the client in a process of its own until it is killed; the chat's id."""
    command = [sys.executable, "-m", "tests.faults.paying", url, str(ledger), str(journal), kind, moment]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=40, check=False)
    assert done.returncode == -signal.SIGKILL
    return done.stdout.split()[0]


def main(url: str, ledger: str, journal: str, kind: str, moment: str) -> None:
    """Sends the question, and ends at the moment."""

    def end_at(reached: str, chat_id: str | None) -> None:
        if reached == moment:
            print(chat_id, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    with Inference(config=patient(url), journal=journal) as client:
        agent = client.agent({**AGENT, "tools": [payment(Path(ledger), kind, end_at)]})
        agent.on("agent.tool_result", lambda event: end_at("journaled", event.chat_id))
        for event in agent.stream("Pay 5."):
            if isinstance(event, ToolFinished):
                end_at("posted", event.chat_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
