"""A run waits for a yes, days if need be, while nothing of it is in memory; any process may give it.

python -m examples.approvals_from_another_process ask work.db          prints the chat's id, and ends
python -m examples.approvals_from_another_process approve work.db ID   says yes
python -m examples.approvals_from_another_process resume work.db ID    runs the tool, and finishes the run
"""

import sys

from agentkit import Runtime, string, tool


def delete_branch(branch: str) -> str:
    return f"deleted {branch}"


delete = tool("delete_branch").describe("Deletes a branch").param("branch", string()).require_approval()
AGENT = {"system_prompt": "Use delete_branch.", "tools": [delete.handler(delete_branch)]}


def main(step: str, db: str, chat_id: str = "") -> None:
    with Runtime(db) as runtime:
        client = runtime.client()
        if step == "ask":
            with client.agent(AGENT).stream("branch: old-experiments", when_parked="return") as turn:
                print(turn.result().chat_id)
            return
        agent = client.agents.resume(chat_id, tools=AGENT["tools"])
        if step == "approve":
            for question in agent.pending():
                agent.approve(question.resource_id, note="no longer needed")
                print("approved", question.meta)
        else:
            print(agent.resume().text())


if __name__ == "__main__":
    main(*sys.argv[1:])
