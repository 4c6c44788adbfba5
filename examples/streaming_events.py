"""A turn as it happens: one union of typed events, and the same turn knows its result in the end."""

from agentkit import RunFinished, Runtime, TextDelta, ToolContext, ToolFinished, ToolProgress, ToolStarted, tool


@tool
def count_words(text: str, ctx: ToolContext) -> int:
    """Counts the words of a text."""
    ctx.progress("counting", fraction=0.5)
    return len(text.split())


def main() -> None:
    with Runtime() as runtime:
        agent = runtime.client().agent({"system_prompt": "Use count_words.", "tools": [count_words]})
        with agent.stream("to be or not to be") as turn:
            for event in turn:
                match event:
                    case ToolStarted():
                        print("started ", event.invocation.function.name, event.invocation.function.arguments)
                    case ToolProgress():
                        print("progress", event.message, event.fraction)
                    case ToolFinished():
                        print("finished", event.invocation.result)
                    case TextDelta():
                        print("text    ", repr(event.text))
                    case RunFinished():
                        print("outcome ", event.outcome)
            print("result  ", turn.result().text)


if __name__ == "__main__":
    main()
