"""Every command of the REST page on tasks, run by the real `curl` as it is written (seeds/002).

Where the page and the newer ones differ (status numbers, what cancel answers), protocol.md 10 rows 1 to 7 decide.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from agentkit import TaskStatus, inference
from tests.conformance.commands import COMMANDS, SEEDS, Answer, commands_of, curl
from tests.conformance.crooked import Reply, Until, crooked
from tests.conformance.home import home
from tests.conformance.seed_apps import write_apps
from tests.conformance.serve import serving

KEY = "inf_your_key"  # as the page writes it
APPS = ("infsh/flux", "my-app", "long-running-app")
BARE = {"X-API-Version": "2"}
FIELDS = {"id": str, "status": int, "input": dict, "created_at": str}  # of every answer, by the page's table

pytestmark = [
    pytest.mark.requirement("seed:rest-tasks"),
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here"),
]


@dataclass(frozen=True)
class Site:
    """A server with the page's apps; `replaced` is what its commands cannot have as they are written."""

    url: str
    key: str

    @property
    def replaced(self) -> dict[str, str]:
        return {KEY: self.key}

    def curl(self, name: str, **more: str) -> list[Answer]:
        """What an example answered."""
        return curl(name, url=self.url, replaced=self.replaced | more)

    def client(self) -> httpx.Client:
        """For looking at what became of it."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}", **BARE}, timeout=30)


@pytest.fixture(
    scope="module", params=["the key as written", pytest.param("agentkit serve", marks=pytest.mark.thorough)]
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """The server in this process, which takes the short key; and the command, which takes none below 16 letters."""
    apps = write_apps(tmp_path_factory.mktemp("apps"), *APPS)
    if request.param == "the key as written":
        with home(key=KEY, apps=apps) as server:
            yield Site(server.url, KEY)
        return
    with serving(tmp_path_factory.mktemp("serve")) as served:
        with inference(api_key=served.key, base_url=served.url) as client:
            for folder in apps.values():
                client.apps.deploy(folder)
        yield Site(served.url, served.key)


def only(answers: list[Answer]) -> Any:
    """The object of the one answer, which went well."""
    (answer,) = answers
    assert (answer.status, answer.content_type) == (200, "application/json"), answer.body
    assert answer.body["success"] is True
    for name, kind in FIELDS.items():
        assert isinstance(answer.data[name], kind), name
    return answer.data


# -- the commands ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SEEDS["tasks"].exists(), reason="the document itself is not part of a clone")
def test_the_commands_are_those_of_the_pages_word_for_word() -> None:
    kept = {path.stem: path.read_text(encoding="utf-8") for path in COMMANDS.glob("*.txt")}
    pages = [page.read_text(encoding="utf-8") for page in SEEDS.values()]
    assert kept == {name: text for page in pages for name, text in commands_of(page)}


def test_run_and_wait_answers_with_the_completed_task(site: Site) -> None:
    task = only(site.curl("run_and_wait"))
    assert task["status"] == TaskStatus.COMPLETED == 10
    assert task["input"] == {"prompt": "A sunset"}
    with site.client() as client:
        image = client.get(re.sub("^inf://files/([^/]+).*", r"/files/\1/content", task["output"]["image"]["uri"]))
    assert image.content.endswith(b"dev: A sunset")
    assert not task["error"]


@pytest.mark.requirement("task:returns-at-once")
def test_run_without_waiting_answers_at_once_and_get_task_shows_how_it_went(site: Site) -> None:
    begun = only(site.curl("run_without_waiting"))
    assert begun["status"] in (TaskStatus.RECEIVED, TaskStatus.QUEUED)
    with inference(api_key=site.key, base_url=site.url) as client:
        client.tasks.wait_for_completion(begun["id"])
    task = only(site.curl("get_task", task_abc123=begun["id"]))
    assert (task["id"], task["status"]) == (begun["id"], TaskStatus.COMPLETED)
    assert task["output"]["image"]["uri"]


@pytest.mark.requirement("session:new")
def test_a_session_is_begun_and_continued(site: Site) -> None:
    with site.client() as client:
        first, unknown = site.curl("run_with_session")  # the second names a session that is not there
        session_id = first.data["session_id"]
        _, second = site.curl("run_with_session", sess_abc123=session_id)
        session = client.get(f"/sessions/{session_id}").json()
        assert client.delete(f"/sessions/{session_id}").status_code in (200, 204)
    assert (unknown.status, unknown.body["error"]["code"]) == (404, "SESSION_NOT_FOUND")
    assert (second.status, second.data["session_id"]) == (200, session_id)
    assert (first.data["output"]["text"], second.data["output"]["text"]) == ("init", "process")
    assert (first.data["output"]["calls"], second.data["output"]["calls"]) == (1, 2)
    assert (session["call_count"], session["idle_timeout"]) == (2, 60)


def test_a_session_timeout_is_kept(site: Site) -> None:
    task = only(site.curl("run_with_custom_session_timeout"))
    with site.client() as client:
        session = client.get(f"/sessions/{task['session_id']}").json()
        client.delete(f"/sessions/{task['session_id']}")
    assert (session["status"], session["idle_timeout"], task["session_timeout"]) == ("active", 300, 300)


@pytest.mark.requirement("task:webhook")
def test_the_webhook_gets_the_pages_payload_once(site: Site) -> None:
    with crooked({"POST /webhook": Reply(None, 204)}) as receiver:
        task = only(site.curl("run_with_webhook", **{"https://your-server.com": receiver.url}))
        receiver.wait(Until("POST /webhook"))
        (told,) = receiver.asked("POST /webhook")
    payload = told.json
    assert set(payload) >= {"id", "status", "output", "error", "session_id", "created_at", "updated_at"}
    assert (payload["id"], payload["status"]) == (task["id"], TaskStatus.COMPLETED)
    assert payload["output"]["image"]["uri"] == task["output"]["image"]["uri"]
    assert (payload["error"], payload["session_id"]) == ("", None)
    assert told.headers["content-type"].startswith("application/json")
    assert "user-agent" in told.headers


# -- the tables ------------------------------------------------------------------------------------------------------


def test_the_request_table_is_taken_field_by_field(site: Site) -> None:
    body = {
        "app": "infsh/flux", "input": {"prompt": "A sunset over mountains"}, "setup": {"model": "schnell"},
        "infra": "private", "workers": None, "webhook": None, "session": "new", "session_timeout": 3600,
    }  # fmt: skip
    with site.client() as client:
        task = client.post("/run", json=body).json()
        client.delete(f"/sessions/{task['session_id']}")
    assert (task["status"], task["setup"], task["session_timeout"]) == (10, {"model": "schnell"}, 3600)
    assert task["infra"] == "private"


@pytest.mark.requirement("task:cancel")
def test_cancel_answers_with_the_task_and_that_it_is_cancelled(site: Site) -> None:
    with site.client() as client:
        task = client.post("/run?wait=false", json={"app": "long-running-app", "input": {}}).json()
        answer = client.post(f"/tasks/{task['id']}/cancel").json()
        assert (answer["id"], answer["status"]) == (task["id"], 12 if answer["cancelled"] else 8)
        with inference(api_key=site.key, base_url=site.url) as watcher:
            last = list(watcher.tasks.stream(task["id"]))[-1]
        again = client.post(f"/tasks/{task['id']}/cancel").json()
    assert last["status"] == TaskStatus.CANCELLED
    assert (again["status"], again["cancelled"]) == (12, True)


@pytest.mark.requirement("task:one-status-word")
def test_every_status_says_its_number_and_its_name(site: Site) -> None:
    with site.client() as client:
        task = client.post("/run", json={"app": "my-app", "input": {"prompt": "a b"}}).json()
    seen = [event["status"] for event in task["events"]]
    assert seen == sorted(seen) and seen[0] == 1 and seen[-1] == 10
    assert set(seen) <= set(range(1, 11)) - {TaskStatus.CANCELLING}
    assert task["status_text"] == "completed"
