"""Every endpoint and example of the REST page on apps: read, listed, staged, promoted, rolled back (seeds/004)."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentkit import Inference
from tests.conformance.commands import curl
from tests.conformance.home import Home, home
from tests.conformance.seed_apps import HEAD, write_app

KEY = "inf_your_key"
KERNEL = f"python-{sys.version_info[0]}.{sys.version_info[1]}"
ANSWERS = """
class Input(BaseAppInput):
    prompt: str = ""

class Output(BaseAppOutput):
    text: str

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        return Output(text="answer {number}")
"""

pytestmark = [pytest.mark.requirement("seed:rest-apps"), pytest.mark.timeout(60), pytest.mark.heavy]


@dataclass
class World:
    """A server with `myteam/my-app`, deployed once, and a folder to deploy the next version from."""

    server: Home
    client: Inference
    http: httpx.Client
    folder: Path
    first: Any

    def next(self, number: int, *, stage: bool) -> Any:
        """Deploys a version that gives another answer."""
        (self.folder / "inference.py").write_text(HEAD + ANSWERS.replace("{number}", str(number)))
        return self.client.apps.deploy(self.folder, stage=stage)

    def get(self, path: str) -> Any:
        """The bare answer of a GET that goes well."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def answer(self, reference: str = "myteam/my-app") -> str:
        """What the app says."""
        return str(self.client.run({"app": reference, "input": {}})["output"]["text"])


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    manifest = f"namespace: myteam\nkernel: {KERNEL}\n"
    folder = write_app(tmp_path / "my-app", ANSWERS.replace("{number}", "1"), name="my-app", manifest=manifest)
    headers = {"Authorization": f"Bearer {KEY}", "X-API-Version": "2"}
    with (
        home(key=KEY) as server,
        server.client() as client,
        httpx.Client(base_url=server.url, headers=headers) as plain,
    ):
        yield World(server, client, plain, folder, client.apps.deploy(folder))


def test_an_app_is_read_by_id_and_by_name_with_its_active_version(world: World) -> None:
    by_id = world.get(f"/apps/{world.first.id}")
    assert by_id == world.get("/apps/myteam/my-app")
    assert (by_id["namespace"], by_id["name"]) == ("myteam", "my-app")
    assert by_id["version_id"] == by_id["version"]["id"]
    assert by_id["version"]["kernel"] == KERNEL


def test_apps_are_listed_by_get_and_by_post_page_by_page(world: World) -> None:
    for number in range(3):
        write_app(world.folder.parent / f"app-{number}", ANSWERS, name=f"app-{number}", manifest="namespace: myteam")
        world.client.apps.deploy(world.folder.parent / f"app-{number}")
    listed, cursor = list[str](), ""
    while True:
        page = world.get(f"/apps?limit=2&cursor={cursor}")
        listed += [each["name"] for each in page["items"]]
        if not page["has_next"]:
            break
        cursor = page["next_cursor"]
    assert listed == ["app-2", "app-1", "app-0", "my-app"]
    posted = world.http.post("/apps/list", json={"limit": 3}).json()
    assert [each["name"] for each in posted["items"]] == listed[:3]
    assert [each["name"] for each in world.http.post("/apps/list").json()["items"]] == listed
    assert world.http.get("/apps?limit=101").status_code in (200, 400)
    assert len(world.get("/apps")["items"]) == 4


def test_versions_are_listed_newest_first_each_with_its_own_id(world: World) -> None:
    second = world.next(2, stage=False)
    for page in (
        world.get(f"/apps/{second.id}/versions"),
        world.http.post(f"/apps/{second.id}/versions/list", json={}).json(),
    ):
        assert [each["id"] for each in page["items"]] == [second.version_id, world.first.version_id]
    version = world.get(f"/apps/{second.id}/versions/{world.first.version_id}")
    assert (version["id"], version["kernel"]) == (world.first.version_id, KERNEL)
    assert world.http.get(f"/apps/{second.id}/versions/nothing").status_code == 404


@pytest.mark.requirement("app:staged")
def test_a_staged_version_waits_is_promoted_and_rolled_back(world: World) -> None:
    staged = world.next(2, stage=True)
    new = staged.version.id if staged.version else ""
    assert new != world.first.version_id
    assert world.get(f"/apps/{world.first.id}")["version_id"] == world.first.version_id
    assert (world.answer(), world.answer(f"myteam/my-app@{new}")) == ("answer 1", "answer 2")
    promoted = world.http.put(f"/apps/{world.first.id}/versions/{new}/current")
    assert (promoted.status_code, promoted.json()["version_id"], promoted.json()["version"]["id"]) == (200, new, new)
    assert world.answer() == "answer 2"
    again = world.http.put(f"/apps/{world.first.id}/versions/{new}/current")
    assert again.json()["version_id"] == new
    world.client.apps.set_current("myteam/my-app", str(world.first.version_id))
    assert world.answer() == "answer 1"


def test_without_staging_a_deploy_makes_its_version_current(world: World) -> None:
    second = world.next(2, stage=False)
    assert world.get("/apps/myteam/my-app")["version_id"] == second.version_id != world.first.version_id
    assert world.answer() == "answer 2"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
@pytest.mark.parametrize("name", ["set_current_version", "removed_current_version"])
def test_the_pages_commands_promote_a_version(world: World, name: str) -> None:
    """The second is the removed form, which the JavaScript SDK 0.6.10 still calls (protocol.md 10, row 26)."""
    staged = world.next(2, stage=True)
    new = staged.version.id if staged.version else ""
    (answer,) = curl(name, url=world.server.url, replaced={"app_abc123": world.first.id, "ver_xyz789": new})
    assert answer.status == 200
    told = {field: answer.data[field] for field in ("id", "namespace", "name", "version_id")}
    assert told == {"id": world.first.id, "namespace": "myteam", "name": "my-app", "version_id": new}
    assert (answer.data["version"]["id"], answer.data["version"]["kernel"]) == (new, KERNEL)
    assert world.answer() == "answer 2"


def test_an_app_that_there_is_not_is_not_found_by_either_way(world: World) -> None:
    for path in ("/apps/app_abc123", "/apps/myteam/other", "/apps/app_abc123/versions"):
        assert world.http.get(path).status_code == 404
    other = world.http.put(f"/apps/{world.first.id}/versions/ver_xyz789/current")
    assert (other.status_code, "ver_xyz789" in other.json()["detail"]) == (404, True)
