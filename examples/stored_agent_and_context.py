"""An agent stored under a name, used by reference; each chat brings its own context variables."""

from agentkit import APIError, Runtime, string, tool

ticket = tool("open_ticket").describe("Opens a ticket").param("subject", string("What it is about"))
CONFIG = {
    "system_prompt": "Use open_ticket.",
    "tools": [ticket],  # the schema is stored with the agent, the function is given by whoever uses it
    "context": [{"name": "tenant_id", "required": True, "description": "Whose chat it is"}],
}


def main() -> None:
    with Runtime() as runtime:
        client = runtime.client()
        client.agents.store(CONFIG, name="support", namespace="acme")
        try:
            client.agent("acme/support").send_message("subject: no hot water")
        except APIError as error:
            print("refused:", error.message)
        tools = [ticket.handler(lambda args: {"ticket": 4711, **args})]
        agent = client.agent("acme/support", context={"tenant_id": "house-9"}, tools=tools)
        with agent.stream("subject: no hot water") as turn:
            print(turn.text())
        print("context:", agent.get_chat().context)


if __name__ == "__main__":
    main()
