"""Which question of the inbox comes first."""

from __future__ import annotations

from agentkit.testing import call
from tests.runtime.playing import client_tool
from tests.runtime.serving import BARE, in_process, message

AGENT = {"core_app": {"ref": "scripted/model"}, "tools": [client_tool(approval=True)]}


async def test_the_newest_comes_first_where_it_is_asked_for_page_by_page() -> None:
    steps = [call("look", {"q": str(number)}) for number in range(3)]
    async with in_process(*steps) as desk:
        for number in range(3):
            chat = await desk.post("/agents/run", message(agent_config=AGENT))
            await desk.until(chat["assistant_message"]["chat_id"], "awaiting_input")
            assert len((await desk.get("/interrupts"))["items"]) == number + 1
        oldest = await desk.get("/interrupts?order=oldest")
        first = await desk.get("/interrupts?order=newest&limit=2")
        second = await desk.get(f"/interrupts?order=newest&limit=2&cursor={first['next_cursor']}")
        refused = await desk.client.get("/interrupts?order=best", headers=BARE)
    asked = [[each["meta"]["arguments"]["q"] for each in page["items"]] for page in (oldest, first, second)]
    assert asked == [["0", "1", "2"], ["2", "1"], ["0"]]
    assert refused.status_code == 400 and "oldest, newest" in refused.json()["detail"]
