"""Apps: looked up, versioned, promoted, and deployed from a folder."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentkit import UsageError
from agentkit.errors import AppDefinitionError, ConflictError, NotFoundError
from tests.client.hostile import Hostile, Request, Wire
from tests.client.tasking import Platform, meeting, problem

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(60)]  # describing starts a process

Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Each of these asks interpreters of its own what the folder is: the face in front matters little.
SYNC_FIRST = pytest.mark.parametrize(
    "kind", ["sync", *(pytest.param(kind, marks=pytest.mark.thorough) for kind in ("asyncio", "trio"))]
)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


class Shop(Platform):
    """A platform with apps. `finds_bare_names` False: it looks up no name without a namespace, as some do not."""

    def __init__(self, *, finds_bare_names: bool = True) -> None:
        super().__init__()
        self.apps: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, dict[str, Any]]] = {}
        self.posted: list[dict[str, Any]] = []
        self.finds_bare_names = finds_bare_names

    def __call__(self, request: Request, wire: Wire) -> None:
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["apps"]:
                self.create(request.json, wire)
            case "POST", ["apps", "list"]:
                wire.json({"items": list(self.apps.values()), "next_cursor": "", "has_next": False})
            case "POST", ["apps", id, "versions", "list"]:
                wire.json({"items": list(reversed(self.versions[id].values()))})
            case "GET", ["apps", id, "versions", version]:
                wire.json(self.versions[id][version])
            case "PUT", ["apps", id, "versions", version, "current"]:
                self.apps[id] |= {"version_id": version, "version": self.versions[id][version]}
                wire.json(self.apps[id])
            case "POST", ["apps", id, "visibility"]:
                self.apps[id] |= request.json
                wire.json(self.apps[id])
            case "POST", ["apps", id] if id in self.apps:
                self.apps[id] |= request.json
                wire.json(self.apps[id])
            case "DELETE", ["apps", id]:
                del self.apps[id]
                wire.answer(204)
            case "GET", ["apps", *names]:
                self.find("/".join(names), wire)
            case _:
                super().__call__(request, wire)

    def find(self, name: str, wire: Wire) -> None:
        for id, app in self.apps.items():
            bare = {app["name"]} if self.finds_bare_names else set[str]()
            if name in {id, f"{app['namespace']}/{app['name']}", *bare}:
                wire.json(app)
                return
        wire.json(problem("not_found", 404, f"no app {name}"), 404)

    def create(self, body: dict[str, Any], wire: Wire) -> None:
        self.posted.append(body)
        namespace = body.get("namespace") or "ann"
        id = body.get("id")
        taken = [key for key, app in self.apps.items() if (app["namespace"], app["name"]) == (namespace, body["name"])]
        if taken and id is None:
            wire.json(problem("already_exists", 409, "exists", app_id=taken[0]), 409)
            return
        if id is None:
            id = f"a{len(self.apps) + 1}"
            self.apps[id] = {"id": id, "namespace": namespace, "name": body["name"]}
            self.versions[id] = {}
        version = {"id": f"v{len(self.versions[id]) + 1}", **body["version"]}
        version["checksum"] = version["metadata"]["checksum"]
        self.versions[id][version["id"]] = version
        if not body["preserve_current_version"] or len(self.versions[id]) == 1:
            self.apps[id] |= {"version_id": version["id"], "version": version}
        wire.json(self.apps[id])


INFERENCE = """
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput

class Input(BaseAppInput):
    text: str

class Output(BaseAppOutput):
    text: str

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        return Output(text=app_input.text)
"""


def app_folder(root: Path, *, manifest: str = "namespace: acme\nname: echo\ndescription: Says it again\n") -> Path:
    folder = root / "echo-app"
    folder.mkdir()
    (folder / "inf.yml").write_text(manifest)
    (folder / "inference.py").write_text(INFERENCE)
    return folder


def test_a_folder_becomes_an_app_with_its_code_and_schemas(meet: Meet, tmp_path: Path) -> None:
    shop = Shop()
    client, _ = meet(shop)
    told: list[tuple[str, int, int]] = []
    app = client.apps.deploy(app_folder(tmp_path), on_progress=lambda *each: told.append(each))
    assert (app.id, app.namespace, app.name, app.version_id) == ("a1", "acme", "echo", "v1")
    [body] = shop.posted
    assert body["description"] == "Says it again"
    assert body["preserve_current_version"] is False
    version = body["version"]
    assert version["functions"]["run"]["input_schema"]["properties"]["text"]["type"] == "string"
    record, content = shop.file_of(version["repository"])
    assert (record["content_type"], record["filename"]) == ("application/zip", "echo.zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["inf.yml", "inference.py"]
    assert len(version["metadata"]["checksum"]) == 64
    steps = [step for step, _, _ in told]
    assert list(dict.fromkeys(steps)) == ["bundle", "describe", "upload", "register"]
    assert told[-1] == ("register", 1, 1)


@SYNC_FIRST
def test_deploying_the_same_again_makes_no_new_version(meet: Meet, tmp_path: Path) -> None:
    shop = Shop()
    client, server = meet(shop)
    folder = app_folder(tmp_path)
    client.apps.deploy(folder)
    steps: list[str] = []
    again = client.apps.deploy(folder, on_progress=lambda step, done, total: steps.append(step))
    assert again.version_id == "v1"
    assert steps[-1] == "unchanged"
    assert len(shop.posted) == 1
    assert server.count("POST", "/files") == 1
    (folder / "inference.py").write_text(INFERENCE + "\n# changed\n")
    assert client.apps.deploy(folder).version_id == "v2"


def test_a_staged_version_waits_to_be_promoted(meet: Meet, tmp_path: Path) -> None:
    shop = Shop()
    client, _ = meet(shop)
    folder = app_folder(tmp_path)
    client.apps.deploy(folder)
    (folder / "extra.txt").write_text("more")
    assert client.apps.deploy(folder, stage=True).version_id == "v1"
    assert shop.posted[-1]["preserve_current_version"] is True
    assert client.apps.set_current("acme/echo", "v2").version_id == "v2"
    assert client.apps.get("acme/echo").version_id == "v2"


@SYNC_FIRST
@pytest.mark.parametrize("finds_bare_names", [True, False])
def test_an_app_without_a_namespace_is_ones_own(meet: Meet, tmp_path: Path, finds_bare_names: bool) -> None:
    shop = Shop(finds_bare_names=finds_bare_names)
    client, _ = meet(shop)
    folder = app_folder(tmp_path, manifest="name: echo\n")
    assert client.apps.deploy(folder).namespace == "ann"
    (folder / "extra.txt").write_text("more")
    assert client.apps.deploy(folder).version_id == "v2"
    assert list(shop.apps) == ["a1"]


def test_a_name_that_is_somebody_elses_is_told(meet: Meet, tmp_path: Path) -> None:
    shop = Shop()
    taken = problem("already_exists", 409, "an app acme/echo of somebody else exists")
    shop.create = lambda body, wire: wire.json(taken, 409)  # type: ignore[method-assign]  # this shop refuses
    client, _ = meet(shop)
    with pytest.raises(ConflictError, match="somebody else"):
        client.apps.deploy(app_folder(tmp_path))


@SYNC_FIRST
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"inf.yml": None}, r"inf\.yml"),
        ({"inf.yml": "name: [1]\n"}, "name"),
        ({"inference.py": "import no_such_module\n"}, "no_such_module"),
        ({"inference.py": "import os\nos._exit(7)\n"}, "exit code 7"),
    ],
)
def test_a_folder_that_is_no_app_is_told_with_the_reason_and_nothing_is_sent(
    meet: Meet, tmp_path: Path, change: dict[str, str | None], says: str
) -> None:
    folder = app_folder(tmp_path)
    for name, text in change.items():
        (folder / name).unlink()
        if text is not None:
            (folder / name).write_text(text)
    client, server = meet(Shop())
    with pytest.raises(AppDefinitionError, match=says):
        client.apps.deploy(folder)
    with pytest.raises(UsageError):
        client.apps.deploy(folder / "inference.py")
    assert server.requests == []


def test_an_app_is_found_by_id_name_and_reference(meet: Meet) -> None:
    shop = Shop()
    client, _ = meet(shop)
    version = {"metadata": {"checksum": "c1"}, "repository": "inf://files/f1"}
    body = {"namespace": "acme", "name": "echo", "version": version, "preserve_current_version": False}
    made = client.apps.create(body)
    client.apps.create({**body, "id": made.id, "version": {"metadata": {"checksum": "c2"}}})
    for name in ("a1", "acme/echo", "app/acme/echo", "echo", "acme/echo:run", "acme/echo@latest"):
        assert client.apps.get(name).version_id == "v2"
    older = client.apps.get("acme/echo@v1")
    assert (older.version_id, older.version.checksum) == ("v1", "c1")
    assert [each.id for each in client.apps.versions("acme/echo").items] == ["v2", "v1"]
    assert client.apps.version("acme/echo", "v1").checksum == "c1"
    assert client.apps.version("acme/echo@v1").checksum == "c1"
    assert client.apps.version("a1").checksum == "c2"
    assert [each.id for each in client.apps.iterate()] == [each.id for each in client.apps.list().items] == ["a1"]
    with pytest.raises(NotFoundError, match="no app acme/nobody"):
        client.apps.get("acme/nobody")


def test_an_app_is_changed_shown_and_deleted(meet: Meet) -> None:
    shop = Shop()
    client, server = meet(shop)
    version = {"metadata": {"checksum": "c1"}}
    client.apps.create({"namespace": "acme", "name": "echo", "version": version, "preserve_current_version": False})
    assert client.apps.update("acme/echo", {"description": "new"}).description == "new"
    assert next(each.json for each in server.requests if each.is_a("POST", "/apps/a1")) == {"description": "new"}
    assert client.apps.set_visibility("a1", "public").visibility == "public"
    client.apps.delete("acme/echo")
    assert shop.apps == {}
    with pytest.raises(UsageError, match="this is no app"):
        client.apps.create({"name": ["x"]})
