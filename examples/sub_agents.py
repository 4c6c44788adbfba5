"""An agent asks another one, which is given in code; the other's client tool runs here, and its events come wrapped."""

from agentkit import ChildEvent, Runtime, ToolFinished, agent_tool, string, tool

stock = (
    tool("check_stock")
    .describe("Checks how many pieces of an item are in stock")
    .param("item", string("The item"))
    .handler(lambda args: {"item": args["item"], "pieces": 7})
)
warehouse = {"name": "warehouse", "system_prompt": "Use check_stock.", "tools": [stock]}
ask = agent_tool("ask_warehouse", warehouse).describe("Asks the warehouse about an item").timeout(60)


def main() -> None:
    with Runtime() as runtime:
        agent = runtime.client().agent({"system_prompt": "Use ask_warehouse.", "tools": [ask]})
        with agent.stream("How many pieces are in stock? Item: lamp") as turn:
            for event in turn:
                match event:
                    case ChildEvent(event=ToolFinished(invocation=call)):
                        print("  the warehouse:", call.function.name, "->", call.result)
                    case ToolFinished(invocation=call):
                        print(call.function.name, "->", call.result)
            print(turn.result().text)


if __name__ == "__main__":
    main()
