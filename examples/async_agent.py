"""The async twin: the same names, awaited; two conversations at once. For asyncio and trio alike."""

import anyio

from agentkit import AsyncInference, Runtime, string, tool


async def capital(country: str) -> str:
    await anyio.sleep(0)  # an async handler may wait for whatever it likes
    return {"France": "Paris", "Peru": "Lima"}.get(country, "unknown")


lookup = tool("find_capital").describe("The capital of a country").param("country", string()).handler(capital)


async def ask(client: AsyncInference, country: str) -> None:
    agent = client.agent({"system_prompt": "Answer with find_capital.", "tools": [lookup]})
    async with agent.stream(f"country: {country}") as turn:
        print(country, "->", await turn.text())


async def main() -> None:
    async with Runtime() as runtime, runtime.async_client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, client, "France")
        tasks.start_soon(ask, client, "Peru")


if __name__ == "__main__":
    anyio.run(main)
