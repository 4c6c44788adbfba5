"""A tool that is an HTTP request: the platform sends it, puts the secret in, and the model never sees either."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agentkit import Runtime, ToolFinished, http_tool, string


class Weather(BaseHTTPRequestHandler):
    """The service; somebody else's, as a rule."""

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "allowed": self.headers["X-API-Key"] == "k-123"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


def main() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Weather) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        weather = http_tool("get_weather", f"http://{host}/v1/{{{{args.city}}}}").method("GET").auth(api_key="WEATHER")
        weather = weather.describe("Gets the weather of a city").param("city", string("The city")).timeout(10)
        with Runtime(secrets={"WEATHER": "k-123"}, allow_hosts=[host]) as runtime:  # private addresses need a word
            agent = runtime.client().agent({"system_prompt": "Use get_weather.", "tools": [weather]})
            with agent.stream("City: São Paulo") as turn:
                print([event.invocation.data for event in turn if isinstance(event, ToolFinished)])
        server.shutdown()


if __name__ == "__main__":
    main()
