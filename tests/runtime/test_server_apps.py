"""Apps over HTTP: deployed as a zip, found by name, promoted both ways (seeds/004)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.deploying import TEXT_IN, zip_of
from tests.runtime.serving import BARE, Desk, in_process

pytestmark = pytest.mark.heavy  # real processes


async def _deploy(desk: Desk, *, data: bytes | None = None, **more: Any) -> dict[str, Any]:
    [record] = await desk.post("/files", {"files": [{"uri": "", "filename": "app.zip"}]})
    await desk.client.put(record["upload_url"], content=zip_of() if data is None else data)
    version = {"repository": record["uri"], "input_schema": TEXT_IN, **more.pop("version", {})}
    return dict(await desk.post("/apps", {"name": "echo", "version": version, **more}))


async def test_an_app_is_read_by_id_and_by_name_with_its_active_version() -> None:
    async with in_process() as desk:
        made = await _deploy(desk, namespace="acme", description="says it")
        by_id, by_name = await desk.get(f"/apps/{made['id']}"), await desk.get("/apps/acme/echo")
        short = await desk.get(f"/v1/apps/{made['short_id']}")
    assert by_id == by_name == short == made
    assert (made["namespace"], made["name"], made["description"]) == ("acme", "echo", "says it")
    assert (made["version"]["id"], made["version"]["input_schema"]) == (made["version_id"], TEXT_IN)
    assert len(made["version"]["checksum"]) == 64


@pytest.mark.parametrize("way", ["PUT", "POST"])
async def test_a_staged_version_is_promoted(way: str) -> None:
    async with in_process() as desk:
        first = await _deploy(desk)
        staged = await _deploy(desk, id=first["id"], version={"env": {"N": "2"}}, preserve_current_version=True)
        assert (await desk.get(f"/apps/{first['id']}"))["version_id"] == first["version_id"]
        version_id = staged["version"]["id"]
        if way == "PUT":
            path = f"/apps/{first['id']}/versions/{version_id}/current"
            told = (await desk.client.put(path, headers=BARE)).json()
        else:
            told = await desk.post(f"/apps/{first['id']}/current-version", {"version_id": version_id})
        assert (told["version_id"], told["version"]["id"]) == (version_id, version_id)
        assert await desk.get(f"/apps/{first['id']}") == told
        one = await desk.get(f"/apps/{first['id']}/versions/{version_id}")
        assert (one["id"], one["env"]) == (version_id, {"N": "2"})


async def test_apps_and_versions_are_listed_both_ways() -> None:
    async with in_process() as desk:
        first = await _deploy(desk)
        await _deploy(desk, id=first["id"], version={"env": {"N": "2"}})
        for path in ("/apps", f"/apps/{first['id']}/versions"):
            got, posted = await desk.get(f"{path}?limit=1"), await desk.post(f"{path}/list", {"limit": 1})
            assert got == posted and len(got["items"]) == 1
        cursor = (await desk.get(f"/apps/{first['id']}/versions?limit=1"))["next_cursor"]
        second = await desk.get(f"/apps/{first['id']}/versions?limit=1&cursor={cursor}")
        assert [each["id"] for each in second["items"]] == [first["version_id"]]


async def test_an_app_is_changed_made_public_and_deleted() -> None:
    async with in_process() as desk:
        made = await _deploy(desk)
        changed = await desk.post(f"/apps/{made['id']}", {"description": "new"})
        public = await desk.post(f"/apps/{made['id']}/visibility", {"visibility": "public"})
        deleted = await desk.client.delete(f"/apps/{made['id']}", headers=BARE)
        gone = await desk.client.get(f"/apps/{made['id']}", headers=BARE)
    assert (changed["description"], public["visibility"]) == ("new", "public")
    assert (deleted.status_code, gone.status_code) == (200, 404)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "needs a name"),
        ({"name": "list"}, 400, "'list'"),
        ({"name": "a", "version": {"input_schema": {"type": 1}}}, 422, "input_schema"),
        ({"id": "nothere1"}, 404, "nothere1"),
        ({"name": "a", "version": {"repository": "inf://files/nothere1/a.zip"}}, 404, "nothere1"),
    ],
)
async def test_what_cannot_be_stored_is_refused_with_the_reason(body: Any, status: int, said: str) -> None:
    async with in_process() as desk:
        response = await desk.client.post("/apps", json=body, headers=BARE)
    assert (response.status_code, said in response.json()["detail"]) == (status, True)


async def test_a_name_that_is_taken_is_a_conflict_that_names_the_app() -> None:
    async with in_process() as desk:
        made = await _deploy(desk)
        response = await desk.client.post("/apps", json={"name": "echo"}, headers=BARE)
    assert (response.status_code, response.json()["app_id"]) == (409, made["id"])
    assert response.json()["type"].endswith("/already_exists")


async def test_a_zip_that_is_none_is_a_validation_error_in_the_callers_dialect() -> None:
    async with in_process() as desk:
        [record] = await desk.post("/files", {"files": [{"uri": "", "filename": "a.zip"}]})
        await desk.client.put(record["upload_url"], content=b"PK no")
        body = {"name": "echo", "version": {"repository": record["uri"]}}
        bare = await desk.client.post("/apps", json=body, headers=BARE)
        wrapped = await desk.client.post("/apps", json=body)
    assert (bare.status_code, bare.json()["errors"][0]["path"]) == (422, "version.repository")
    assert (wrapped.status_code, wrapped.json()["success"]) == (422, False)
    assert "not a zip" in wrapped.json()["error"]["message"]


async def test_missing_secrets_are_a_412_in_both_dialects() -> None:
    async with in_process() as desk:
        await _deploy(desk, version={"required_secrets": [{"key": "HF_TOKEN", "description": "token"}]})
        body = {"app": "echo", "input": {"text": "a"}}
        bare = await desk.client.post("/apps/run", json=body, headers=BARE)
        wrapped = await desk.client.post("/apps/run", json=body)
    for response in (bare, wrapped):
        told = response.json()
        assert (response.status_code, told["satisfied"], told["errors"][0]["key"]) == (412, False, "HF_TOKEN")
    assert wrapped.json()["error"] == {"code": "requirements_not_met", "message": "HF_TOKEN is not set"} | {
        name: value for name, value in wrapped.json()["error"].items() if name not in ("code", "message")
    }
