"""200 answers to one question, on 200 connections, at once: one wins, 199 learn who, and the call obeys the winner."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from tests.trust.served import Paying, Served, paying, served

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(240), pytest.mark.requirement("approval:first-wins")]

ANSWERS: Final = 200
HEADERS: Final = {"X-API-Version": "2"}
SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer, and what the record and the world must look like where it wins."""

    path: str
    body: dict[str, Any]
    decision: str
    status: str = "completed"
    payments: tuple[str, ...] = ()
    result: str = ""


PAID: Final = ("ten",)
EDITED: Final = ("five",)
REJECTED: Final = "the user rejected this call: no"
WAYS: Final = {
    "invoke": Way("/tools/{call}/invoke", {}, "approved", payments=PAID, result="paid ten"),
    "edit": Way("/tools/{call}/invoke", {"arguments": {"q": "five"}}, "edited", payments=EDITED, result="paid five"),
    "reject": Way("/tools/{call}/reject", {"reason": "no"}, "rejected", "cancelled", result=REJECTED),
    "allow": Way("/interrupts/{question}/resolve", {"decision": "allow"}, "approved", payments=PAID, result="paid ten"),
    "deny": Way(
        "/interrupts/{question}/resolve", {"decision": "deny", "note": "no"}, "rejected", "cancelled", result=REJECTED
    ),
    "respond": Way(
        "/interrupts/{question}/resolve", {"decision": "respond", "data": "by hand"}, "responded", result="by hand"
    ),
    "always": Way("/chats/{chat}/tools/{call}/always-allow", {}, "approved", payments=PAID, result="paid ten"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Paying]:
    with paying(tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture(scope="module")
def server(service: Paying, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with served(tmp_path_factory.mktemp("server") / "agentkit.db", service) as found:
        yield found


@pytest.fixture
def client(server: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=HEADERS, timeout=SECONDS) as found:
        yield found


@pytest.mark.parametrize("first", WAYS)
def test_one_of_200_answers_wins_and_the_others_learn_who_did(
    server: Served, client: httpx.Client, service: Paying, first: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    names = [first, *random.Random(seed).choices(list(WAYS), k=ANSWERS - 1)]
    before = len(service.ledger.lines())
    asked = ask(client, service)
    replies = at_once(server.port, [request_of(name, asked, by=f"person {n}") for n, name in enumerate(names)])
    statuses = Counter(status for status, _ in replies)
    assert statuses == {200: 1, 409: ANSWERS - 1}, statuses
    won = next(number for number, (status, _) in enumerate(replies) if status == 200)
    for status, body in replies:
        if status == 409:
            assert body["type"].endswith("/already_resolved"), body
            assert body["winner"]["resolved_as"] == f"person {won}"
            assert body["winner"]["decision"] == WAYS[names[won]].decision
            assert body["winner"]["id"] == asked["id"]
    check(client, asked, WAYS[names[won]], by=f"person {won}")
    amounts = tuple(line.split()[0] for line in service.ledger.lines()[before:])
    assert amounts == WAYS[names[won]].payments


# -- parts -------------------------------------------------------------------------------------------------------------


def ask(client: httpx.Client, service: Paying) -> dict[str, Any]:
    """A chat's question, once its run is parked on it."""
    body = {"agent_config": service.agent(), "input": {"text": "ten"}}
    reply = client.post("/agents/run", json=body).raise_for_status().json()
    chat = until(client, reply["assistant_message"]["chat_id"], "awaiting_input")
    [question] = chat["pending_interrupts"]
    return dict(question)


def until(client: httpx.Client, chat_id: str, status: str) -> dict[str, Any]:
    """The chat once it has this status; listens to its stream until then."""
    with client.stream("GET", f"/chats/{chat_id}/stream", headers={"Accept": "application/x-ndjson"}) as stream:
        for line in stream.iter_lines():
            item = json.loads(line) if line else {}
            if item.get("event") == "chats" and item["data"]["status"] == status:
                break
    return dict(client.get(f"/chats/{chat_id}").raise_for_status().json())


def request_of(name: str, asked: dict[str, Any], *, by: str) -> bytes:
    """The whole request of an answer."""
    path = WAYS[name].path.format(call=asked["resource_id"], question=asked["id"], chat=asked["chat_id"])
    body = json.dumps({**WAYS[name].body, "by": by}).encode()
    head = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "X-API-Version: 2",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def at_once(port: int, requests: list[bytes]) -> list[tuple[int, Any]]:
    """The replies; every request is on its way but for the last byte before any of them is whole."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS)) for _ in requests
        ]
        for each, request in zip(sockets, requests, strict=True):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.sendall(request[:-1])
        for each, request in zip(sockets, requests, strict=True):
            each.sendall(request[-1:])
        return [reply_of(each) for each in sockets]


def reply_of(connection: socket.socket) -> tuple[int, Any]:
    """The status and the body."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def check(client: httpx.Client, asked: dict[str, Any], way: Way, *, by: str) -> None:
    """That the record, the call and what the model read are those of the winner."""
    chat = until(client, asked["chat_id"], "idle")
    question = client.get(f"/interrupts/{asked['id']}").raise_for_status().json()
    assert (question["status"], question["decision"], question["resolved_as"]) == ("resolved", way.decision, by)
    [call] = [each for message in chat["chat_messages"] for each in message["tool_invocations"]]
    assert (call["status"], call["result"]) == (way.status, way.result)
    said = "".join(part["text"] or "" for part in chat["chat_messages"][-1]["content"])
    assert said == f"I read: {way.result}"
