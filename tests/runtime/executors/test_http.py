"""HTTP tools: what is sent for a call, what comes back of the answer, and what is never told to anybody."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
import struct
import threading
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from agentkit.runtime.executors import ToolFailure
from agentkit.runtime.executors.http import HttpExecutor
from agentkit.runtime.faults import Fault
from agentkit.runtime.outbound.egress import Guard
from agentkit.wire import AgentTool
from tests.client.hostile import Hostile, Request, Wire, hostile
from tests.runtime.executors.calling import Caller, Pocket, call_of, calling

SECRET = "sk-Live/9+ä=7 x"
Play = Callable[[Request, Wire], None]


def tool(url: str, method: str | None = None, *, names: str = "id q tag body", **config: Any) -> dict[str, Any]:
    """An HTTP tool whose arguments have these names and any type."""
    schema = {"type": "object", "properties": {name: {} for name in names.split()}}
    more = {key: config.pop(key) for key in ("timeout", "idempotent", "type") if key in config}
    kind = more.get("type", "http")
    member = {"url": url, "method": method, "input_schema": schema, **config}
    return {"name": "probe", "type": kind, **more, kind: member}


@asynccontextmanager
async def serving(play: Play, *, max_bytes: int = 10_000_000, **pocket: Any) -> AsyncGenerator[tuple[Caller, Hostile]]:
    """A server that plays this, and an executor that may reach it."""
    with hostile(play) as server:
        guard = Guard([f"127.0.0.1:{server.port}"])
        async with calling(lambda: HttpExecutor(Pocket(**pocket), guard=guard, max_bytes=max_bytes)) as caller:
            with anyio.fail_after(15):
                yield caller, server


def echo(request: Request, wire: Wire) -> None:
    """Answers with what came."""
    told = {"method": request.method, "path": request.path, "query": dict(request.query), "body": request.body.decode()}
    wire.json({**told, "headers": dict(request.headers)})


def saying(body: bytes = b"", status: int = 200, content_type: str = "application/json", **headers: str) -> Play:
    return lambda request, wire: wire.answer(status, body, content_type, **headers)


# -- what is sent --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
async def test_arguments_are_the_query(method: str) -> None:
    async with serving(echo) as (caller, server):
        arguments = {"id": "a/b", "q": "x & y", "tag": ["one", "two"], "body": {"n": 1}}
        found = await caller.call(tool(f"{server.url}/u/{{{{args.id}}}}?fixed=1", method), arguments)
    assert found.data["path"] == "/u/a%2Fb"
    assert found.data["query"] == {"fixed": "1", "q": "x & y", "tag": "one", "body": '{"n":1}'}
    assert found.data["body"] == ""
    assert ("idempotency-key" in found.data["headers"]) is (method != "GET")


@pytest.mark.requirement("http:rest-of-arguments")
@pytest.mark.parametrize("method", [None, "POST", "put", "PATCH"])
async def test_arguments_are_the_json_body_less_those_of_the_url(method: str | None) -> None:
    async with serving(echo) as (caller, server):
        arguments = {"id": 7, "q": "x", "body": {"deep": [1, None, "ü"]}}
        found = await caller.call(tool(f"{server.url}/u/{{{{args.id}}}}?q={{{{args.q}}}}", method), arguments)
    assert found.data["method"] == (method or "POST").upper()
    assert (found.data["path"], found.data["query"]) == ("/u/7", {"q": "x"})
    assert json.loads(found.data["body"]) == {"body": {"deep": [1, None, "ü"]}}
    assert found.data["headers"]["content-type"] == "application/json"
    assert found.data["headers"]["idempotency-key"] == "inv1-0123456789abcdef"


async def test_a_tool_of_type_call_is_an_http_tool() -> None:
    async with serving(echo) as (caller, server):
        assert (await caller.call(tool(f"{server.url}/", type="call"))).data["method"] == "POST"


async def test_the_idempotency_key_of_the_tool_comes_first() -> None:
    async with serving(echo) as (caller, server):
        own = tool(f"{server.url}/", headers={"Idempotency-Key": "{{args.id}}"})
        assert (await caller.call(own, {"id": "mine"})).data["headers"]["idempotency-key"] == "mine"
        assert (await caller.call(own, {})).data["headers"]["idempotency-key"] == "inv1-0123456789abcdef"


PATHS = [
    ("a b", "/u/a%20b/x"),
    ("../../admin", "/u/..%2F..%2Fadmin/x"),
    ("a?b=c#d", "/u/a%3Fb%3Dc%23d/x"),
    ("%2e%2e", "/u/%252e%252e/x"),
    ("@evil.example:80", "/u/%40evil.example%3A80/x"),
    ("\\..\\", "/u/%5C..%5C/x"),
    ("line\r\nHost: evil", "/u/line%0D%0AHost%3A%20evil/x"),
    ("{{context.tenant}}", "/u/%7B%7Bcontext.tenant%7D%7D/x"),
    ("${{secrets.KEY}}", "/u/%24%7B%7Bsecrets.KEY%7D%7D/x"),
    (True, "/u/true/x"),
    (1.5, "/u/1.5/x"),
]


@pytest.mark.requirement("http:templates")
@pytest.mark.parametrize(("value", "path"), PATHS, ids=[str(number) for number in range(len(PATHS))])
async def test_an_argument_stays_inside_its_segment_of_the_path(value: Any, path: str) -> None:
    async with serving(echo, secrets={"KEY": SECRET}) as (caller, server):
        assert (await caller.call(tool(f"{server.url}/u/{{{{args.id}}}}/x", "GET"), {"id": value})).data["path"] == path


@pytest.mark.parametrize("value", ["", ".", "..", None])
async def test_a_path_cannot_be_left_upwards_or_shortened(value: Any) -> None:
    async with serving(echo) as (caller, server):
        with pytest.raises(ToolFailure, match=r"\{\{args\.id\}\}"):
            await caller.call(tool(f"{server.url}/u/{{{{args.id}}}}", "DELETE"), {"id": value})
        assert server.requests == []


async def test_two_arguments_do_not_make_a_step_upwards_together() -> None:
    async with serving(echo) as (caller, server):
        with pytest.raises(ToolFailure, match=r"'\.\.' a step"):
            await caller.call(tool(f"{server.url}/u/{{{{args.id}}}}{{{{args.q}}}}/x"), {"id": ".", "q": "."})


async def test_a_member_of_the_query_without_its_argument_is_left_out() -> None:
    url = "/?a={{args.id}}&b={{args.q}}&c=1&t={{args.tag}}&d=x{{args.body}}"
    async with serving(echo) as (caller, server):
        found = await caller.call(tool(f"{server.url}{url}"), {"q": "&=#", "tag": ["p", "q"]})
    assert found.data["query"] == {"b": "&=#", "c": "1", "t": "p", "d": "x"}


async def test_headers_are_filled_in() -> None:
    headers = {
        "X-Tenant": "{{context.tenant}}",
        "X-Id": "id-{{args.id}}",
        "X-Absent": "{{args.q}}",
        "X-Key": "${{secrets.KEY}}",
    }
    seen: list[Mapping[str, str]] = []

    def play(request: Request, wire: Wire) -> None:
        seen.append(request.headers)
        echo(request, wire)

    async with serving(play, secrets={"KEY": "k-12345"}) as (caller, server):
        found = await caller.call(tool(f"{server.url}/", headers=headers), {"id": 5, "tag": "t"}, tenant="acme")
    assert (seen[0]["x-tenant"], seen[0]["x-id"], seen[0]["x-key"]) == ("acme", "id-5", "k-12345")
    assert "x-absent" not in seen[0]
    assert json.loads(found.data["body"]) == {"tag": "t"}


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "\x1b"])
async def test_a_line_break_never_gets_into_a_header(value: str) -> None:
    async with serving(echo) as (caller, server):
        with pytest.raises(ToolFailure, match="control character"):
            await caller.call(tool(f"{server.url}/", headers={"X-Id": "{{args.id}}"}), {"id": value})
        with pytest.raises(ToolFailure, match="control character"):
            await caller.call(tool(f"{server.url}/", headers={"X-Id": "{{context.c}}"}), {}, c=value)
        assert server.requests == []


async def test_the_context_may_hold_the_host_and_a_base_path() -> None:
    async with serving(echo) as (caller, server):
        found = await caller.call(tool("{{context.base}}/u?x=1", "GET"), {}, base=f"{server.url}/v1/")
        assert found.data["path"] == "/v1/u"
        host = await caller.call(tool("http://{{context.host}}/u", "GET"), {}, host=f"127.0.0.1:{server.port}")
        assert host.data["path"] == "/u"


@pytest.mark.parametrize("host", ["a@127.0.0.1", "127.0.0.1/x", "a b", "", "x?y", "http://user:pass@h"])
async def test_what_is_no_host_cannot_stand_where_one_is(host: str) -> None:
    async with calling(lambda: HttpExecutor(Pocket(), guard=Guard())) as caller:
        with pytest.raises(ToolFailure, match="is no host"):
            await caller.call(tool("http://{{context.host}}/u", "GET"), {}, host=host)


async def test_a_context_variable_that_the_chat_has_not_is_a_failed_call() -> None:
    async with serving(echo) as (caller, server):
        with pytest.raises(ToolFailure, match="the chat has no context variable 'tenant'") as failed:
            await caller.call(tool(f"{server.url}/{{{{context.tenant}}}}"))
    assert failed.value.had_effect is False


# -- credentials ---------------------------------------------------------------------------------------------------

AUTHS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"auth": {"type": "bearer", "secret": "KEY"}}, {"authorization": "Bearer sk-12345"}),
    ({"auth": {"type": "api_key", "secret": "KEY"}}, {"x-api-key": "sk-12345"}),
    ({"auth": {"type": "api_key", "secret": "KEY", "header": "X-Mine"}}, {"x-mine": "sk-12345"}),
    (
        {"auth": {"type": "integration", "provider": "google"}},
        {"authorization": "Bearer tok-google", "x-project": "p1"},
    ),
    ({"auth": {"type": "credential", "provider": "google"}}, {"authorization": "Bearer tok-google"}),
    (
        {"auth": {"type": "integration", "provider": "google", "integration_id": "i2"}},
        {"authorization": "Bearer tok-2"},
    ),
    ({"header_secret_refs": {"X-Ref": "KEY"}}, {"x-ref": "sk-12345"}),
]
INTEGRATIONS = {
    "google": {"Authorization": "Bearer tok-google", "X-Project": "p1"},
    "i2": {"Authorization": "Bearer tok-2"},
}


@pytest.mark.requirement("http:secrets-injected")
@pytest.mark.parametrize(("config", "expected"), AUTHS, ids=[str(number) for number in range(len(AUTHS))])
async def test_credentials_are_put_in_and_taken_out_of_the_answer(config: Any, expected: Mapping[str, str]) -> None:
    seen: list[Mapping[str, str]] = []

    def play(request: Request, wire: Wire) -> None:
        seen.append(request.headers)
        echo(request, wire)

    async with serving(play, secrets={"KEY": "sk-12345"}, integrations=INTEGRATIONS) as (caller, server):
        found = await caller.call(tool(f"{server.url}/", **config))
    assert {name: seen[0][name] for name in expected} == expected
    for name, value in expected.items():
        if name != "x-project":
            assert value.rpartition(" ")[2] not in found.text + json.dumps(found.data)
            assert "***" in found.data["headers"][name]


def spellings() -> dict[str, bytes]:
    """The ways in which a server may say a secret back."""
    return {
        "plain": SECRET.encode(),
        "json": json.dumps({"your": ["key", SECRET]}).encode(),
        "json_name": json.dumps({SECRET: 1}).encode(),
        "json_escaped": b'{"key": "' + "".join(f"\\u{ord(each):04x}" for each in SECRET).encode() + b'"}',
        "url": b"GET /?key=sk-Live%2F9%2B%C3%A4%3D7%20x",
        "url_plus": b"GET /?key=sk-Live%2F9%2B%C3%A4%3D7+x",
        "base64": base64.b64encode(SECRET.encode()),
        "utf16": SECRET.encode("utf-16"),
    }


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("spelling", list(spellings()))
async def test_a_secret_that_the_server_says_back_is_hidden(
    status: int, spelling: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = spellings()[spelling]
    kind = "application/json" if spelling.startswith("json") else "text/plain"
    kind += "; charset=utf-16" if spelling == "utf16" else ""
    caplog.set_level(logging.DEBUG)
    async with serving(saying(body, status, kind), secrets={"KEY": SECRET}) as (caller, server):
        probe = tool(
            f"{server.url}/${{{{secrets.KEY}}}}?key=${{{{secrets.KEY}}}}", auth={"type": "bearer", "secret": "KEY"}
        )
        told: Any = None
        try:
            found = await caller.call(probe)
            told = [found.text, found.data]
        except ToolFailure as failure:
            told = [failure.text, failure.data]
        assert server.requests[0].query["key"] == SECRET
    whole = json.dumps(told, ensure_ascii=False) + caplog.text
    assert "***" in whole
    for way in (
        "Live",
        "base64" if spelling == "base64" else "Live/9",
        base64.b64encode(SECRET.encode()).decode()[:-2],
    ):
        assert way not in whole


async def test_a_secret_in_the_url_of_a_server_that_is_not_there_is_hidden() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        executor = HttpExecutor(Pocket({"KEY": SECRET}), guard=Guard(["127.0.0.1"]))
        async with calling(lambda: executor) as caller:
            with pytest.raises(ToolFailure, match="not connected") as failed:
                await caller.call(tool(f"http://127.0.0.1:{port}/${{{{secrets.KEY}}}}?k=${{{{secrets.KEY}}}}"))
    assert "Live" not in failed.value.text
    assert (failed.value.is_transient, failed.value.had_effect) == (True, False)


def test_secrets_are_in_no_repr() -> None:
    from agentkit.runtime.executors.credentials import Credential, Redaction
    from agentkit.runtime.outbound.fetching import Outgoing
    from agentkit.runtime.outbound.templating import Values

    shown = [Credential({"A": SECRET}), Redaction([SECRET]), Values(secrets={"K": SECRET})]
    assert "Live" not in repr(shown)
    assert "Live" not in repr(Outgoing("GET", None, {"A": SECRET}))  # type: ignore[arg-type]


async def test_a_secret_that_is_gone_since_is_a_failed_call() -> None:
    pocket = Pocket({"KEY": "sk-12345"})
    async with calling(lambda: HttpExecutor(pocket, guard=Guard())) as caller:
        probe = tool("https://api.example/", auth={"type": "bearer", "secret": "KEY"})
        await caller.bind(probe)
        pocket.secrets = {}
        with pytest.raises(ToolFailure, match="the secret 'KEY' is not set"):
            await caller.executor.execute(call_of(probe, {}), caller.shelf)  # type: ignore[arg-type]


# -- definitions that cannot work ----------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no_url": (tool(""), "is not a full URL"),
    "no_scheme": (tool("api.example/x"), "is not a full URL"),
    "other_scheme": (tool("file:///etc/passwd"), "is not a full URL"),
    "unknown_source": (tool("https://h.example/{{env.HOME}}"), "is none of"),
    "unknown_argument": (tool("https://h.example/{{args.nope}}"), "names no argument"),
    "unknown_argument_in_header": (tool("https://h.example/", headers={"X": "{{args.nope}}"}), "names no argument"),
    "secret_like_an_argument": (tool("https://h.example/{{secrets.KEY}}"), "is written"),
    "open_brace": (tool("https://h.example/{{args.id"), "without its other half"),
    "argument_as_host": (tool("https://{{args.id}}.example/"), "cannot choose the host"),
    "argument_behind_the_host": (tool("https://h.example{{args.id}}/"), "cannot choose the host"),
    "secret_as_host": (tool("https://${{secrets.KEY}}/"), "cannot choose the host"),
    "argument_as_port": (tool("https://h.example:{{args.id}}/"), "cannot choose the host"),
    "password": (tool("https://me:word@h.example/"), "user name or password"),
    "method": (tool("https://h.example/", "FETCH"), "is none of GET"),
    "header_name": (tool("https://h.example/", headers={"X Y": "1"}), "no header that a tool may set"),
    "host_header": (tool("https://h.example/", headers={"Host": "{{args.id}}"}), "no header that a tool may set"),
    "length_header": (tool("https://h.example/", headers={"content-length": "1"}), "no header that a tool may set"),
    "auth_type": (tool("https://h.example/", auth={"type": "magic", "secret": "KEY"}), "api_key or bearer"),
    "auth_without_secret": (tool("https://h.example/", auth={"type": "bearer"}), "api_key or bearer"),
    "auth_without_provider": (tool("https://h.example/", auth={"type": "integration"}), "names no provider"),
    "no_config": ({"name": "probe", "type": "http"}, "needs a member 'http'"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_definition_that_cannot_work_is_refused(name: str) -> None:
    definition, message = WRONG[name]
    executor = HttpExecutor(Pocket({"KEY": "sk-12345"}), guard=Guard())
    with pytest.raises(Fault, match=message) as refused:
        await executor.bind(AgentTool.parse(definition), owner="local")
    assert refused.value.code == "validation_error"
    assert "'probe'" in refused.value.detail


async def test_everything_that_is_missing_is_told_at_once() -> None:
    headers = {"X-A": "${{secrets.A}}", "X-B": "${{secrets.B}}"}
    definition = tool("https://h.example/", headers=headers, auth={"type": "integration", "provider": "slack"})
    executor = HttpExecutor(Pocket({"B": "there"}), guard=Guard())
    with pytest.raises(Fault, match=r"secret 'A' is not set; set it with .*: agentkit secret set A") as refused:
        await executor.bind(AgentTool.parse(definition), owner="local")
    assert refused.value.code == "requirements_not_met"
    assert [(each["type"], each["key"], each["action"]["type"]) for each in refused.value.members["errors"]] == [
        ("secret", "A", "add_secret"),
        ("integration", "slack", "connect"),
    ]


# -- what comes back -----------------------------------------------------------------------------------------------


async def test_json_is_data_and_text() -> None:
    async with serving(saying(b'{"a": [1, 2.50, null]}', content_type="application/vnd.x+json")) as (caller, server):
        found = await caller.call(tool(f"{server.url}/"))
    assert (found.text, found.data, found.files) == ('{"a": [1, 2.50, null]}', {"a": [1, 2.5, None]}, ())


@pytest.mark.parametrize("body", [b'{"a": NaN}', b'{"a": 1', b"[" * 100_000, b"\xff\xfe"])
async def test_json_that_is_none_is_a_text(body: bytes) -> None:
    async with serving(saying(body)) as (caller, server):
        found = await caller.call(tool(f"{server.url}/"))
    assert found.data is None
    assert found.text == body.decode("utf-16" if body == b"\xff\xfe" else "utf-8")


TEXTS = [
    ("text/plain; charset=utf-8", "grüße".encode(), "grüße"),
    ("text/html", "<p>grüße</p>".encode(), "<p>grüße</p>"),
    ("text/plain; charset=iso-8859-1", "grüße".encode("latin-1"), "grüße"),
    ('text/csv; charset="windows-1252"', "5 €".encode("cp1252"), "5 €"),
    ("text/plain; charset=utf-16", "grüße".encode("utf-16"), "grüße"),
    ("application/json; charset=utf-16", '"grüße"'.encode("utf-16"), '"grüße"'),
    ("text/plain", b"\xef\xbb\xbfmarked", "marked"),
    ("text/plain; charset=nonsense", b"plain", "plain"),
    ("text/plain; charset=punycode", b"plain-", "plain-"),
    ("text/plain; charset=hex", b"706c", "706c"),
    ("text/plain", b"half \xc3", "half �"),
    ("application/xml", b"<a/>", "<a/>"),
    ("application/x-yaml", b"a: 1", "a: 1"),
    ("", b"no type at all", "no type at all"),
]


@pytest.mark.parametrize(("kind", "body", "text"), TEXTS, ids=[str(number) for number in range(len(TEXTS))])
async def test_text_is_text_in_any_charset(kind: str, body: bytes, text: str) -> None:
    async with serving(saying(body, content_type=kind)) as (caller, server):
        assert (await caller.call(tool(f"{server.url}/"))).text == text


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FILES = [
    ("image/png", {}, "/chart", "chart.png"),
    ("image/png", {}, "/charts/a.png", "a.png"),
    (
        "application/pdf",
        {"Content_Disposition": 'attachment; filename="../../etc/report.pdf"'},
        "/x",
        "_.._etc_report.pdf",
    ),
    (
        "application/octet-stream",
        {"Content_Disposition": "attachment; filename*=utf-8''gr%C3%BC%C3%9Fe.bin"},
        "/",
        "grüße.bin",
    ),
    ("audio/mpeg", {}, "/", "answer.mp3"),
]


@pytest.mark.parametrize(("kind", "headers", "path", "name"), FILES, ids=[str(number) for number in range(len(FILES))])
async def test_what_is_no_text_is_a_file(kind: str, headers: Any, path: str, name: str) -> None:
    async with serving(saying(PIXEL, content_type=kind, **headers)) as (caller, server):
        found = await caller.call(tool(server.url + path, "GET"))
    assert caller.shelf.kept == [(name, kind, PIXEL)]
    assert [each.uri for each in found.files] == ["inf://files/1"]
    assert name in found.text


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_an_answer_without_content_says_so(status: int) -> None:
    async with serving(saying(b"", status)) as (caller, server):
        assert (await caller.call(tool(f"{server.url}/"))).text == f"HTTP {status}, and no content"


async def test_head_has_no_content() -> None:
    async with serving(lambda request, wire: wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as (
        caller,
        server,
    ):
        assert (await caller.call(tool(f"{server.url}/", "HEAD"))).text == "HTTP 200, and no content"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", bytes),
    ],
    ids=["gzip", "zlib", "raw", "identity"],
)
async def test_a_packed_answer_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = json.dumps({"n": list(range(20_000))}).encode()
    async with serving(saying(pack(body), Content_Encoding=encoding)) as (caller, server):
        assert (await caller.call(tool(f"{server.url}/"))).text == body.decode()


@pytest.mark.parametrize(
    ("encoding", "body"), [("br", b"x"), ("gzip", b"not gzip"), ("deflate", b"no"), ("gzip, gzip", b"")]
)
async def test_what_does_not_unpack_is_a_failure(encoding: str, body: bytes) -> None:
    async with serving(saying(body, Content_Encoding=encoding)) as (caller, server):
        with pytest.raises(ToolFailure, match="packed"):
            await caller.call(tool(f"{server.url}/"))


# -- too much ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("http:body-cap")
async def test_a_body_of_a_gigabyte_is_not_read() -> None:
    sent = 0

    def flood(request: Request, wire: Wire) -> None:
        nonlocal sent
        wire.begin("text/plain")
        for _ in range(1_000):
            wire.chunk(b"x" * 1_000_000)
            sent += 1_000_000

    async with serving(flood) as (caller, server):
        with pytest.raises(ToolFailure, match="longer than 10,000,000 bytes") as failed:
            await caller.call(tool(f"{server.url}/"))
    assert sent < 30_000_000  # what was taken, and what the sockets hold
    assert not failed.value.is_transient


async def test_a_body_that_says_it_is_a_gigabyte_is_not_begun() -> None:
    def announce(request: Request, wire: Wire) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000000\r\n\r\n")
        wire.stay()

    async with serving(announce) as (caller, server):
        with pytest.raises(ToolFailure, match="1,000,000,000 bytes; at most 10,000,000"):
            await caller.call(tool(f"{server.url}/"))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_does_not_go_off(encoding: str) -> None:
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    assert len(bomb) < 1_000_000
    async with serving(saying(bomb, Content_Encoding=encoding), max_bytes=1_000_000) as (caller, server):
        with pytest.raises(ToolFailure, match="longer than 1,000,000 bytes"):
            await caller.call(tool(f"{server.url}/"))


@pytest.mark.parametrize(("size", "is_fine"), [(1_000, True), (1_001, False)])
async def test_the_limit_is_exact(size: int, is_fine: bool) -> None:
    async with serving(saying(b"x" * size, content_type="text/plain"), max_bytes=1_000) as (caller, server):
        if is_fine:
            assert len((await caller.call(tool(f"{server.url}/"))).text) == size
        else:
            with pytest.raises(ToolFailure, match="1,001 bytes; at most 1,000"):
                await caller.call(tool(f"{server.url}/"))


async def test_an_endless_header_is_a_failure() -> None:
    def play(request: Request, wire: Wire) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            wire.send(b"x" * 100_000)

    async with serving(play) as (caller, server):
        with pytest.raises(ToolFailure, match="the connection broke"):
            await caller.call(tool(f"{server.url}/"))


# -- failures ------------------------------------------------------------------------------------------------------

STATUSES = [
    *((status, False, None) for status in (304, 400, 401, 403, 404, 409, 501)),
    *((status, True, None) for status in (408, 425, 500, 502, 503)),
    (429, True, False),
]


@pytest.mark.parametrize(("status", "is_transient", "had_effect"), STATUSES)
async def test_an_answer_that_is_an_error_is_a_failure(
    status: int, is_transient: bool, had_effect: bool | None
) -> None:
    body = b'{"error": "why"}' if status != 304 else b""
    async with serving(saying(body, status, Retry_After="7")) as (caller, server):
        with pytest.raises(ToolFailure) as failed:
            await caller.call(tool(f"{server.url}/orders?key=1"))
    failure = failed.value
    assert failure.text.startswith(f"POST {server.url}/orders: HTTP {status}")
    assert (failure.is_transient, failure.had_effect, failure.retry_after_seconds) == (is_transient, had_effect, 7.0)
    if body:
        assert '{"error": "why"}' in failure.text
        assert failure.data == {"status": status, "body": {"error": "why"}}


async def test_a_long_error_is_cut() -> None:
    async with serving(saying(b"e" * 100_000, 500, "text/html")) as (caller, server):
        with pytest.raises(ToolFailure, match=r"\(100,000 characters\)") as failed:
            await caller.call(tool(f"{server.url}/"))
    assert len(failed.value.text) < 5_000


async def test_a_retry_after_that_is_a_date_is_read() -> None:
    async with serving(saying(b"", 503, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT")) as (caller, server):
        with pytest.raises(ToolFailure) as failed:
            await caller.call(tool(f"{server.url}/"))
    assert failed.value.retry_after_seconds == 0.0


async def test_a_connection_that_breaks_may_have_had_its_effect() -> None:
    async with serving(lambda request, wire: wire.cut()) as (caller, server):
        with pytest.raises(ToolFailure, match="the connection broke") as failed:
            await caller.call(tool(f"{server.url}/"))
    assert (failed.value.is_transient, failed.value.had_effect) == (True, None)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with serving(lambda request, wire: wire.stay()) as (caller, server):
        with pytest.raises(ToolFailure, match=r"no answer within 0\.2 s") as failed:
            await caller.call(tool(f"{server.url}/", timeout=0.2))
    assert (failed.value.is_transient, failed.value.had_effect) == (True, None)


async def test_a_call_that_is_cancelled_in_the_middle_of_a_body_leaves_nothing_open() -> None:
    begun = threading.Event()

    def drip(request: Request, wire: Wire) -> None:
        wire.begin("text/plain")
        wire.chunk(b"x")
        begun.set()
        wire.stay()

    async with serving(drip) as (caller, server), anyio.create_task_group() as group:
        group.start_soon(caller.call, tool(f"{server.url}/"))
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()


async def test_a_private_address_is_a_failure_that_the_model_can_read() -> None:
    async with calling(lambda: HttpExecutor(Pocket(), guard=Guard())) as caller:
        with pytest.raises(
            ToolFailure, match=r"the address 10\.0\.0\.1 of host '10\.0\.0\.1' is private; allow it"
        ) as failed:
            await caller.call(tool("http://10.0.0.1/x", "GET"))
    assert (failed.value.is_transient, failed.value.had_effect) == (False, False)


async def test_a_redirect_into_a_private_address_is_a_failure() -> None:
    async with serving(saying(b"", 302, Location="http://169.254.169.254/latest")) as (caller, server):
        with pytest.raises(ToolFailure, match="is metadata, which hands out") as failed:
            await caller.call(tool(f"{server.url}/", "GET"))
    assert "--allow-host" not in failed.value.text  # no line to paste that opens it


@pytest.mark.parametrize(
    ("method", "is_idempotent"),
    [(None, False), ("POST", False), ("PATCH", False), ("GET", True), ("HEAD", True), ("PUT", True), ("delete", True)],
)
def test_which_methods_may_be_repeated(method: str | None, is_idempotent: bool) -> None:
    executor = HttpExecutor(Pocket(), guard=Guard())
    assert executor.is_idempotent(call_of(tool("https://h.example/", method), {})) is is_idempotent


async def test_a_reset_before_anything_was_sent_is_not_taken_for_success() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def reset() -> None:
            sock, _ = listener.accept()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

        thread = threading.Thread(target=reset, name="resetting", daemon=True)
        thread.start()
        async with calling(lambda: HttpExecutor(Pocket(), guard=Guard(["127.0.0.1"]))) as caller:
            with anyio.fail_after(10), pytest.raises(ToolFailure):
                await caller.call(tool(f"http://127.0.0.1:{port}/"))
        thread.join(5)
