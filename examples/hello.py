"""An agent with one tool, in this process: no key, no port, nothing to start."""

from agentkit import Runtime, string, tool

weather = (
    tool("get_weather")
    .describe("The current weather in a city")
    .param("city", string("City name"))
    .handler(lambda args: {"city": args["city"], "temp_c": 18, "sky": "clear"})  # stays here; only the schema travels
)


def main() -> None:
    with Runtime() as runtime:  # on the hosted platform: client = inference(api_key="inf_...")
        agent = runtime.client().agent({"system_prompt": "Be brief.", "tools": [weather]})
        with agent.stream("What is the weather in Paris?") as turn:
            print(turn.text())


if __name__ == "__main__":
    main()
