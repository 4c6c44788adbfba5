"""An MCP server that does what servers should not: run as a program, it speaks JSON-RPC over stdio, without the SDK.

`python oddserver.py [mode]`: a mode is how it behaves as a whole; how a call goes is told by the tool's name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
READS = {"readOnlyHint": True}
TOOLS: list[dict[str, Any]] = [
    {"name": "echo", "description": "Says it again.", "annotations": READS, "inputSchema": {
        "type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
    {"name": "wipe", "annotations": {"destructiveHint": True, "title": "Wipe all"}},
    {"name": "wipe nothing!", "annotations": {"destructiveHint": True, "readOnlyHint": True}},
    {"name": "9 lives", "inputSchema": {"type": "object", "properties": {"n": {"type": "whatever"}}}},
    {"name": "9-lives", "inputSchema": {"type": "object", "properties": {"n": {"$ref": "https://elsewhere/x"}}}},
    {"name": "lie", "outputSchema": {
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    {"name": "die", "annotations": {"readOnlyHint": False}},
    {"name": "die_once", "annotations": {"idempotentHint": True}},
    {"name": "die_always", "annotations": READS},
    *({"name": name} for name in (
        "hang", "slow", "flood", "shout", "endless_line", "garbage", "fail", "fail_silently", "refuse", "parts",
        "bad_base64", "data", "progress", "log", "ask", "open", "sample", "roots", "environ", "more_tools", "child",
        "pid", "not_mcp",
    )),
]  # fmt: skip
EXTRA: list[dict[str, Any]] = []
ANSWERS: dict[Any, threading.Event] = {}
SAID: dict[Any, Any] = {}
LOCK = threading.Lock()


def send(**message: Any) -> None:
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def note(name: str, text: str) -> None:
    """Appends to a file of the folder that it runs in."""
    with open(name, "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def text(*words: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": word} for word in words], **more}


def ask(method: str, **params: Any) -> Any:
    """What the client answers."""
    number = f"s{len(ANSWERS)}"
    ANSWERS[number] = threading.Event()
    send(id=number, method=method, params=params)
    ANSWERS[number].wait()
    return SAID[number]


def listed(mode: str, cursor: str | None) -> dict[str, Any]:
    tools = [{"inputSchema": {"type": "object"}, **tool} for tool in [*TOOLS, *EXTRA]]
    if mode == "pages":  # without an end
        page = int(cursor or 0)
        return {"tools": [{**tools[0], "name": f"t{page}_{n}"} for n in range(20)], "nextCursor": str(page + 1)}
    if mode == "fat":
        return {"tools": [{**tools[0], "name": f"t{n}", "description": "x" * 100_000} for n in range(30)]}
    if mode == "no-list":
        return {"tools": [tools[0], {**tools[1], "inputSchema": {"type": "object", "properties": [1]}}]}
    return {"tools": tools}


def call(name: str, arguments: dict[str, Any], token: Any) -> dict[str, Any] | None:
    """The result; None for no answer."""
    match name:
        case "echo":
            return text(arguments.get("text", ""))
        case "die" | "die_always":
            note("calls", name)
            os._exit(7)
        case "die_once":
            note("calls", name)
            if not os.path.exists("died"):
                note("died", "once")
                os._exit(7)
            return text("alive")
        case "hang":
            return None
        case "slow":
            time.sleep(arguments["pause"])
            return text("slept")
        case "flood":
            for number in range(arguments["count"]):
                params = {"progressToken": token, "progress": number, "message": "x" * 100}
                send(method="notifications/progress", params=params)
                send(method="notifications/message", params={"level": "info", "data": {"message": f"line {number}"}})
                send(method="notifications/unheard_of", params={})
            return text("flooded")
        case "shout":
            for number in range(5_000):
                sys.stderr.write(f"line {number} {os.environ.get('TOKEN', '')}\n")
            sys.stderr.flush()
            return text("shouted")
        case "endless_line":
            while True:
                sys.stdout.write("x" * 1_000_000)
        case "garbage":
            with LOCK:
                sys.stdout.write('hello\n{"jsonrpc": "1.0"}\n[]\n\n\xff\n{"jsonrpc":"2.0","id":99999,"result":{}}\n')
            return text("after garbage")
        case "fail":
            return text("no such city", isError=True, structuredContent={"city": "Atlantis"})
        case "fail_silently":
            return {"content": [], "isError": True}
        case "parts":
            return parts()
        case "bad_base64":
            return {"content": [{"type": "image", "data": "!!!", "mimeType": "image/png"}]}
        case "data":
            return {"content": [], "structuredContent": {"n": 1}}
        case "lie":
            return text("n is 1", structuredContent={"n": "one"})
        case "progress":
            for number in (1, 2):
                params = {"progressToken": token, "progress": number, "total": 2, "message": f"step {number}"}
                send(method="notifications/progress", params=params)
                time.sleep(0.15)
            return text("done")
        case "log":
            send(method="notifications/message", params={"level": "info", "data": "half way"})
            return text("logged")
        case "ask":
            schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
            return text(json.dumps(ask("elicitation/create", message="Who?", requestedSchema=schema)))
        case "open":
            url = {"mode": "url", "url": "https://sign.example/in", "elicitationId": "e1"}
            return text(json.dumps(ask("elicitation/create", message="Sign in", **url)))
        case "sample":
            said = [{"role": "user", "content": {"type": "text", "text": "Name a colour"}}]
            asked = {"messages": said, "maxTokens": 20, "systemPrompt": "Be brief."}
            return text(json.dumps(ask("sampling/createMessage", **asked)))
        case "roots":
            return text(json.dumps(ask("roots/list")))
        case "environ":
            return {"content": [], "structuredContent": dict(os.environ)}
        case "more_tools":
            EXTRA.append({"name": f"extra{len(EXTRA)}"})
            send(method="notifications/tools/list_changed")
            return text("more")
        case "child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            return text(str(child.pid))
        case "pid":
            return text(str(os.getpid()))
        case "not_mcp":
            return {"content": "text", "isError": "perhaps"}
        case _:
            return text(f"called {name}")


def parts() -> dict[str, Any]:
    return {
        "content": [
            {"type": "text", "text": "look"},
            {"type": "image", "data": PIXEL, "mimeType": "image/png"},
            {"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"},
            {"type": "resource", "resource": {"uri": "a://t", "text": "a note", "mimeType": "text/plain"}},
            {"type": "resource", "resource": {"uri": "a://b", "blob": "AAEC", "mimeType": "application/zip"}},
            {"type": "resource_link", "uri": "https://files.example/a.pdf", "name": "a.pdf"},
            {"type": "resource_link", "uri": "db://row/1", "name": "row"},
        ]
    }


def serve_call(id: Any, params: dict[str, Any]) -> None:
    if params["name"] == "refuse":
        send(id=id, error={"code": -32602, "message": "there is no such tool"})
        return
    token = params.get("_meta", {}).get("progressToken")
    result = call(params["name"], params.get("arguments") or {}, token)
    if result is not None:
        send(id=id, result=result)


def main(mode: str) -> None:
    if mode == "crash":
        sys.stderr.write("no configuration found\n")
        sys.exit(3)
    if mode == "deaf":
        time.sleep(600)
    note("starts", str(os.getpid()))
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                if mode == "mute":
                    continue
                version, tools = message["params"]["protocolVersion"], {"listChanged": True}
                info = {"name": "odd", "version": "1"}
                send(id=message["id"], result={
                    "protocolVersion": version, "capabilities": {"tools": tools, "logging": {}}, "serverInfo": info
                })  # fmt: skip
            case "tools/list":
                note("lists", mode)
                send(id=message["id"], result=listed(mode, (message.get("params") or {}).get("cursor")))
            case "tools/call":
                arguments = (message["id"], message["params"])
                threading.Thread(target=serve_call, args=arguments, daemon=True).start()
            case "notifications/cancelled":
                note("cancelled", str(message["params"]["requestId"]))
            case None:
                SAID[message["id"]] = message.get("result", message.get("error"))
                ANSWERS[message["id"]].set()
            case method if "id" in message:
                send(id=message["id"], error={"code": -32601, "message": f"no {method}"})
            case _:
                pass
    if mode == "stays":
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
