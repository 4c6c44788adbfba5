"""A handler gives back a file beside its text, and is tried again where that does no harm."""

import csv
import io

from agentkit import Runtime, ToolFinished, ToolOutput, string, tool

SALES = [("lamp", 3), ("book", 5)]
busy = iter([True, False])


def export(month: str) -> ToolOutput:
    if next(busy):
        raise OSError("the database is busy")  # the model never hears of it: the second attempt goes well
    text = io.StringIO()
    csv.writer(text).writerows([("item", "pieces"), *SALES])
    return ToolOutput({"month": month, "rows": len(SALES)}, files=[text.getvalue().encode()])


exporting = tool("export_sales").describe("Exports the sales of a month").param("month", string("The month"))
TOOLS = [exporting.timeout(30).idempotent().retry(2).handler(export)]


def main() -> None:
    with Runtime() as runtime:
        client = runtime.client()
        with client.agent({"system_prompt": "Use export_sales.", "tools": TOOLS}).stream("Month: May") as turn:
            [call] = [event.invocation for event in turn if isinstance(event, ToolFinished)]
        print(call.result)
        for file in call.attachments or ():
            print(client.files.download(file).decode().split())


if __name__ == "__main__":
    main()
