"""Where no connection can stay open (some proxies, some serverless hosts) the same program polls instead."""

from agentkit import Runtime, string, tool

builder = tool("check_stock").describe("Pieces in stock").param("article", string("Article"))
stock = builder.handler(lambda args: {"pieces": 7})


def main() -> None:
    with Runtime() as runtime:
        client = runtime.client(stream=False)  # or inference(..., stream=False, poll_interval_ms=500)
        agent = client.agent({"system_prompt": "Use check_stock.", "tools": [stock]})
        with agent.stream("article: blue ring binder") as turn:  # iterate it: the same events, in larger steps
            print(turn.text())


if __name__ == "__main__":
    main()
