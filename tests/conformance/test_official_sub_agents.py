"""The official SDKs, and agents that ask others on the server: what they do not know passes them by."""

from __future__ import annotations

from typing import Any

from agentkit.testing import Scripted, call
from tests.conformance.home import home
from tests.conformance.official import Sdk

CHILD = {"core_app": {"ref": "scripted/child"}}
TOOL = {"name": "ask", "type": "agent", "agent": {"config": CHILD}}
PAY = {"name": "pay", "type": "client", "require_approval": True, "client": {}}
ASK = call("ask", {"message": "What is it?"})
STORED = {"acme/boss@abc123": {"core_app": {"ref": "scripted/boss"}, "tools": [TOOL]}}
CAREFUL = {
    "acme/boss@abc123": {
        "core_app": {"ref": "scripted/boss"},
        "tools": [{**TOOL, "agent": {"config": {**CHILD, "tools": [PAY]}}}],
    }
}


def boss(child: list[Any]) -> Scripted:
    return Scripted({"boss": [ASK, "It is so."], "child": child})


def test_a_python_turn_with_a_sub_agent_ends_with_the_agents_own_answer(wheel: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/boss@abc123")
    seen = []
    agent.send_message("go", on_message=lambda m: seen.append(m))
    chat = agent.get_chat()
    tell(texts=[text(m) for m in seen if text(m)], chats=sorted({m["chat_id"] for m in seen}), id=chat["id"],
         results=[each["result"] for m in chat["chat_messages"] for each in m["tool_invocations"]])
    """
    with home(providers={"scripted": boss(["A long answer of the one below."])}, agents=STORED) as there:
        (told,) = wheel.run(program, url=there.url)
    assert told["texts"][-1] == "It is so." and told["chats"] == [told["id"]]
    assert "A long answer of the one below." not in told["texts"]
    assert told["results"] == ["A long answer of the one below."]


def test_a_python_client_approves_what_a_sub_agent_asks_for(published: Sdk) -> None:
    program = """
    import requests
    agent = client.agents.create("acme/boss@abc123")
    headers = {"Authorization": f"Bearer {KEY}", "X-API-Version": "2"}

    def approve():
        while True:
            chat = requests.get(f"{URL}/chats/{agent.chat_id}", headers=headers).json() if agent.chat_id else {}
            for asked in chat.get("pending_interrupts") or []:
                requests.post(f"{URL}/tools/{asked['resource_id']}/reject", json={"reason": "no"}, headers=headers)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=approve, daemon=True)
    thread.start()
    seen = []
    agent.send_message("go", on_message=lambda m: seen.append(m))
    tell(text=text(seen[-1]), status=agent.get_chat()["status"])
    """
    with home(providers={"scripted": boss([call("pay", {}), "I did not pay."])}, agents=CAREFUL) as there:
        (told,) = published.run(program, url=there.url)
    assert told == {"text": "It is so.", "status": "idle"}


def test_a_javascript_turn_with_a_sub_agent_ends_with_the_agents_own_answer(package: Sdk) -> None:
    program = """
    const agent = client.agents.create('acme/boss@abc123');
    const seen = [];
    await agent.sendMessage('go', { onMessage: (m) => seen.push(m) });
    tell({ texts: seen.map(text).filter(Boolean), chats: [...new Set(seen.map((m) => m.chat_id))] });
    agent.disconnect();
    """
    with home(providers={"scripted": boss(["A long answer of the one below."])}, agents=STORED) as there:
        (told,) = package.run(program, url=there.url)
    assert told["texts"][-1] == "It is so." and len(told["chats"]) == 1
    assert "A long answer of the one below." not in told["texts"]
