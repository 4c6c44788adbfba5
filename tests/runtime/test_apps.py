"""Stored apps: names, versions, references, who may see them, and what a task may be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentkit.runtime.appinputs import check_input, check_setup
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import AppVersionRecord, SessionRecord, TaskRecord
from agentkit.wire import AppSessionStatus, AppVersionInput, CreateAppRequest, CursorListRequest, TaskStatus
from tests.runtime.deploying import ECHO, FILES, INF, OWNER, TEXT_IN, Shop, deploying, zip_of

pytestmark = pytest.mark.heavy


async def refused(code: str, call: Any) -> Fault:
    """The fault of this code that the call ends with."""
    with pytest.raises(Fault) as caught:
        await call
    assert caught.value.code == code, caught.value
    return caught.value


def version_with(**config: Any) -> AppVersionRecord:
    """A version of this description."""
    return AppVersionRecord(id=new_id(), app_id="a", config=AppVersionInput.parse(config))


# -- versions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["id", "short_id", "name", "full name"])
async def test_an_app_is_found_by_its_id_its_short_id_and_its_name(way: str) -> None:
    async with deploying() as shop:
        made = await shop.create(namespace="acme", description="says it back", category="text")
        named = {"id": made["id"], "short_id": made["short_id"], "name": "echo", "full name": "acme/echo"}[way]
        found = await shop.apps.get(OWNER, named)
        assert (found["id"], found["description"], found["category"]) == (made["id"], "says it back", "text")
        assert found["version"]["id"] == found["version_id"] == made["version_id"]


async def test_the_newest_version_runs_unless_it_was_staged() -> None:
    async with deploying() as shop:
        first = await shop.create(version={"env": {"N": "1"}})
        second = await shop.create(id=first["id"], version={"env": {"N": "2"}})
        staged = await shop.create(id=first["id"], version={"env": {"N": "3"}}, preserve_current_version=True)
        assert [first["version_id"], second["version_id"], staged["version_id"]] == [
            first["version"]["id"], second["version"]["id"], second["version"]["id"],
        ]  # fmt: skip
        assert staged["version"]["env"] == {"N": "3"}  # the answer shows the version that came
        assert (await shop.resolve("echo")).version.id == second["version_id"]
        assert (await shop.resolve(f"echo@{staged['version']['short_id']}")).version.id == staged["version"]["id"]
        page = await shop.apps.versions(OWNER, first["id"], CursorListRequest())
        assert [each["env"]["N"] for each in page["items"]] == ["3", "2", "1"]


async def test_a_first_version_that_is_staged_runs_only_by_its_id() -> None:
    async with deploying() as shop:
        made = await shop.create(preserve_current_version=True)
        assert made["version_id"] == ""
        fault = await refused("not_found", shop.resolve("echo"))
        assert "no current version" in fault.detail and made["version"]["short_id"] in fault.detail
        assert (await shop.resolve(f"echo@{made['version']['id']}")).version.id == made["version"]["id"]
        await shop.apps.set_current(OWNER, made["id"], made["version"]["short_id"])
        assert (await shop.resolve("echo")).version.id == made["version"]["id"]


async def test_an_older_version_is_made_current_and_doing_it_again_changes_nothing() -> None:
    async with deploying() as shop:
        first = await shop.create(version={"env": {"N": "1"}})
        await shop.create(id=first["id"], version={"env": {"N": "2"}})
        once = await shop.apps.set_current(OWNER, first["id"], first["version_id"])
        twice = await shop.apps.set_current(OWNER, first["id"], first["version_id"])
        assert (once["version_id"], once["version"]["env"]) == (first["version_id"], {"N": "1"})
        assert twice == once


async def test_a_version_of_another_app_is_not_found() -> None:
    async with deploying() as shop:
        one, other = await shop.create(name="one"), await shop.create(name="other")
        for call in (shop.apps.set_current, shop.apps.version):
            fault = await refused("not_found", call(OWNER, one["id"], other["version_id"]))
            assert one["version"]["short_id"] in fault.detail
        await refused("not_found", shop.resolve(f"one@{other['version_id']}"))


async def test_a_name_that_is_taken_needs_the_id_for_a_new_version() -> None:
    async with deploying() as shop:
        made = await shop.create()
        fault = await refused("already_exists", shop.create())
        assert made["id"] in fault.detail and fault.members == {"app_id": made["id"]}
        theirs = await refused("already_exists", shop.create(owner="eve", namespace=OWNER))
        assert made["id"] not in theirs.detail


@pytest.mark.parametrize("name", ["versions", "license", "run", "list", "status", "current-version"])
async def test_a_name_that_a_path_of_the_api_has_is_refused(name: str) -> None:
    async with deploying() as shop:
        assert repr(name) in (await refused("invalid_request", shop.create(name=name))).detail


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a@b", "a:b", ".a", "-a", "a" * 101, "ä"])
async def test_a_name_that_no_reference_could_spell_is_refused(name: str) -> None:
    async with deploying() as shop:
        await refused("invalid_request", shop.create(name=name))
        if name:
            await refused("invalid_request", shop.create(namespace=name))


async def test_what_is_said_of_an_app_changes_and_the_rest_stays() -> None:
    async with deploying() as shop:
        made = await shop.create(description="one", category="text")
        body = CreateAppRequest.parse({"description": "", "images": {"card": "https://example.com/a.png"}})
        changed = await shop.apps.update(OWNER, made["id"], body)
        assert (changed["description"], changed["category"], changed["images"]["card"]) == (
            "", "text", "https://example.com/a.png",
        )  # fmt: skip
        assert changed["version_id"] == made["version_id"]
        renamed = CreateAppRequest.parse({"name": "other"})
        assert "'echo'" in (await refused("invalid_request", shop.apps.update(OWNER, made["id"], renamed))).detail


# -- the same again ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("app:same-code")
async def test_deploying_the_same_code_again_makes_no_new_version_and_runs_it() -> None:
    async with deploying() as shop:
        first = await shop.deploy()
        second = await shop.deploy({**FILES, "more.txt": "x"}, id=first["id"])
        again = await shop.deploy(id=first["id"])
        assert second["version_id"] != first["version_id"]
        assert again["version_id"] == first["version_id"]
        page = await shop.apps.versions(OWNER, first["id"], CursorListRequest())
        assert len(page["items"]) == 2


async def test_a_checksum_that_other_code_has_too_is_not_believed() -> None:
    async with deploying() as shop:
        told = {"metadata": {"checksum": "left in inf.yml"}}
        first = await shop.deploy(version=told)
        second = await shop.deploy({**FILES, "more.txt": "x"}, id=first["id"], version=told)
        assert second["version_id"] != first["version_id"]
        assert second["version"]["checksum"] == "left in inf.yml"


async def test_the_same_code_with_other_variables_is_another_version() -> None:
    async with deploying() as shop:
        first = await shop.deploy(version={"env": {"N": "1"}})
        second = await shop.deploy(id=first["id"], version={"env": {"N": "2"}})
        assert second["version_id"] != first["version_id"]


# -- deleting ------------------------------------------------------------------------------------------------------


def task_of(app: dict[str, Any], status: TaskStatus) -> Callable[[Writing], TaskRecord]:
    """Inserts a task of the app."""
    return lambda tx: tx.insert(
        TaskRecord(id=new_id(), owner=OWNER, status=status, app_id=app["id"], app_version_id=app["version_id"])
    )


async def test_an_app_with_tasks_that_wait_or_run_cannot_be_deleted() -> None:
    async with deploying() as shop:
        made = await shop.deploy()
        for status in (TaskStatus.QUEUED, TaskStatus.RUNNING, TaskStatus.COMPLETED):
            await shop.store.write(task_of(made, status))
        assert "2 tasks" in (await refused("conflict", shop.apps.delete(OWNER, made["id"]))).detail


async def test_an_app_whose_session_holds_a_worker_cannot_be_deleted() -> None:
    async with deploying() as shop:
        made = await shop.deploy()
        session = SessionRecord(id=new_id(), owner=OWNER, app_id=made["id"], app_version_id=made["version_id"])
        stored = await shop.store.write(lambda tx: tx.insert(session))
        assert "1 active session;" in (await refused("conflict", shop.apps.delete(OWNER, made["id"]))).detail
        await shop.store.write(lambda tx: tx.update(stored.but(status=AppSessionStatus.ENDED)))
        await shop.apps.delete(OWNER, made["id"])


async def test_a_deleted_app_takes_its_versions_and_code_along_and_leaves_its_tasks() -> None:
    async with deploying() as shop:
        made = await shop.deploy()
        task = await shop.store.write(task_of(made, TaskStatus.COMPLETED))
        source = await shop.source(made["version_id"])
        uploaded = made["version"]["repository"].split("/")[3]
        await shop.files.delete(OWNER, uploaded)  # the version keeps its code when the upload is deleted
        assert len(list(shop.blobs.folder.iterdir())) == 1
        await shop.apps.delete(OWNER, made["id"])
        assert list(shop.blobs.folder.iterdir()) == []
        assert not source.folder.exists()
        await refused("not_found", shop.apps.get(OWNER, made["id"]))
        assert await shop.store.read(lambda tx: tx.get(AppVersionRecord, made["version_id"])) is None
        assert await shop.store.read(lambda tx: tx.get(TaskRecord, task.id)) == task


async def test_code_that_two_apps_share_stays_with_the_other() -> None:
    async with deploying() as shop:
        one, other = await shop.deploy(name="one"), await shop.deploy(name="other")
        await shop.apps.delete(OWNER, one["id"])
        assert ((await shop.source(other["version_id"])).folder / "inference.py").read_text() == ECHO


# -- who may see it ------------------------------------------------------------------------------------------------


async def test_somebody_elses_app_does_not_exist_until_it_is_public_and_then_it_can_be_run_but_not_changed() -> None:
    async with deploying() as shop:
        made = await shop.create(version={"env": {"KEY": "x"}, "repository": "https://example.com/a"})
        await refused("not_found", shop.apps.get("eve", made["id"]))
        await refused("not_found", shop.resolve("local/echo", owner="eve"))
        for visibility in ("unlisted", "public"):
            await shop.apps.set_visibility(OWNER, made["id"], visibility)
            seen = await shop.apps.get("eve", "local/echo")
            assert (seen["visibility"], seen["version"]["env"], seen["version"]["repository"]) == (visibility, {}, "")
            assert (await shop.resolve("local/echo", owner="eve")).app.id == made["id"]
            await refused("forbidden", shop.apps.delete("eve", made["id"]))
            await refused("forbidden", shop.apps.set_visibility("eve", made["id"], "private"))
            await refused("forbidden", shop.apps.set_current("eve", made["id"], made["version_id"]))
        assert (await shop.apps.page("eve", CursorListRequest()))["items"] == []
        assert (
            "private, public, unlisted"
            in (await refused("invalid_request", shop.apps.set_visibility(OWNER, made["id"], "secret"))).detail
        )


async def test_apps_are_listed_by_page_newest_first() -> None:
    async with deploying() as shop:
        for name in ("a", "b", "c"):
            await shop.create(name=name)
        first = await shop.apps.page(OWNER, CursorListRequest(limit=2))
        second = await shop.apps.page(OWNER, CursorListRequest(limit=2, cursor=first["next_cursor"]))
        assert [each["name"] for each in first["items"] + second["items"]] == ["c", "b", "a"]


# -- references ----------------------------------------------------------------------------------------------------

TWO = {"functions": {"add": {"name": "add", "input_schema": TEXT_IN}, "report": {"name": "report"}}}


@pytest.mark.requirement("app:references")
async def test_a_bare_name_means_the_callers_own_app() -> None:
    async with deploying() as shop:
        await shop.create(owner="eve", name="echo")
        only = await shop.create(namespace="acme", name="resize")
        mine = await shop.create(name="echo")
        await shop.create(name="echo", namespace="acme")
        assert (await shop.resolve("echo")).app.id == mine["id"]
        assert (await shop.resolve("resize")).app.id == only["id"]
        await shop.create(name="resize", namespace="other")
        assert "acme/resize" in (await refused("invalid_request", shop.resolve("resize"))).detail


@pytest.mark.parametrize(
    ("ref", "asked", "function"),
    [("local/two", "report", "report"), ("local/two:add", "report", "add"), ("app/local/two@latest:add", None, "add")],
)
@pytest.mark.requirement("app:references")
async def test_the_function_of_the_reference_goes_before_the_one_of_the_request(
    ref: str, asked: str | None, function: str
) -> None:
    async with deploying() as shop:
        await shop.create(name="two", version=TWO)
        assert (await shop.resolve(ref, function=asked)).function == function


@pytest.mark.parametrize(
    ("config", "function"),
    [
        ({**TWO, "default_function": "report"}, "report"),
        ({"functions": {"run": {}, "other": {}}}, "run"),
        ({"functions": {"only": {}}}, "only"),
        ({"input_schema": TEXT_IN}, "run"),
        ({"input_schema": TEXT_IN, "default_function": "go"}, "go"),
        ({}, None),
    ],
)
async def test_without_a_function_the_apps_default_is_called(config: dict[str, Any], function: str | None) -> None:
    async with deploying() as shop:
        await shop.create(version=config)
        assert (await shop.resolve("echo")).function == function


@pytest.mark.parametrize(
    ("ref", "code", "said"),
    [
        ("local/nobody", "not_found", "local/two"),
        ("nobody", "not_found", "local/two"),
        ("local/two@nope1234", "not_found", "newest first"),
        ("local/two:nope", "invalid_request", "add, report"),
        ("local/two", "invalid_request", "local/two:add"),
        ("local//two", "invalid_request", "namespace/name"),
        ("agent/local/two", "invalid_request", "of type agent"),
        (None, "invalid_request", "app_id"),
    ],
)
async def test_what_is_not_there_is_refused_with_what_there_is(ref: str | None, code: str, said: str) -> None:
    async with deploying() as shop:
        await shop.create(name="two", version=TWO)
        assert said in (await refused(code, shop.resolve(ref))).detail


async def test_an_app_id_and_a_version_id_are_as_good_as_a_reference() -> None:
    async with deploying() as shop:
        first = await shop.create(version={"env": {"N": "1"}})
        await shop.create(id=first["id"], version={"env": {"N": "2"}})
        found = await shop.resolve(app_id=first["short_id"], version_id=first["version"]["short_id"])
        assert found.version.id == first["version_id"]
        await refused("invalid_request", shop.resolve("echo", app_id=first["id"]))


# -- what is sent --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ({"input_schema": {"type": 3}}, "version.input_schema"),
        ({"setup_schema": ["no"]}, "version.setup_schema"),
        ({"functions": {"run": {"output_schema": {"type": "nope"}}}}, "version.functions.run.output_schema"),
        ({"input_schema": {"$ref": "https://example.com/schema.json"}}, "version.input_schema"),
        ({"default_function": "go", **TWO}, "version.default_function"),
        ({"env": {"A=B": "x"}}, "version.env"),
        ({"env": {"A": "x\x00y"}}, "version.env"),
    ],
)
async def test_a_version_that_no_task_could_be_run_with_is_not_stored(version: dict[str, Any], path: str) -> None:
    async with deploying() as shop:
        fault = await refused("validation_error", shop.create(version=version))
        assert [each["path"] for each in fault.members["errors"]] == [path]
        assert (await shop.apps.page(OWNER, CursorListRequest()))["items"] == []


async def test_the_code_of_a_version_must_be_a_file_of_the_owner_with_its_bytes() -> None:
    async with deploying() as shop:
        theirs = await shop.upload(zip_of(), owner="eve")
        for uri in (theirs, "inf://files/nothere/app.zip"):
            await refused("not_found", shop.create(version={"repository": uri}))
        text = await shop.upload(b"hello", filename="a.txt")
        fault = await refused("validation_error", shop.create(version={"repository": text}))
        assert "not a zip" in fault.detail and "a.txt" in fault.detail


# -- input and setup -----------------------------------------------------------------------------------------------

FILE = {"type": "string", "format": "file", "contentMediaType": "image/*"}
WITH_FILES = {
    "type": "object",
    "properties": {
        "image": FILE,
        "more": {"type": "array", "items": {"$ref": "#/$defs/F"}},
        "mask": {"anyOf": [FILE, {"type": "null"}]},
    },
    "required": ["image"],
    "$defs": {"F": FILE},
}


@pytest.mark.parametrize(
    "value",
    [
        {"image": "https://example.com/a.png"},
        {"image": {"uri": "inf://files/f1/a.png", "filename": "a.png"}},
        {"image": {"path": "/tmp/a.png"}, "more": ["data:,x", {"uri": "inf://files/f2/b"}], "mask": None},
        {"image": "x", "mask": {}},
    ],
)
def test_a_file_is_a_text_or_an_object_that_names_one(value: Any) -> None:
    check_input(version_with(input_schema=WITH_FILES), "run", value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({}, ""),
        ({"image": 3}, "image"),
        ({"image": {"name": "a.png"}}, "image"),
        ({"image": "x", "more": [{"href": "y"}]}, "more.0"),
        (None, ""),
        ("text", ""),
    ],
)
def test_input_that_misses_the_schema_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(Fault) as caught:
        check_input(version_with(input_schema=WITH_FILES), "run", value)
    assert (caught.value.code, caught.value.members["errors"][0]["path"]) == ("validation_error", path)
    assert caught.value.detail.startswith("input: ")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("where", ["pattern", "propertyNames", "patternProperties"])
def test_a_pattern_that_takes_forever_does_not_stop_the_server(where: str) -> None:
    endless, text = "^(a+)+$", "a" * 40 + "!"
    schemas: dict[str, dict[str, Any]] = {
        "pattern": {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema", "pattern": endless}}},
        "propertyNames": {"propertyNames": {"pattern": endless}},
        "patternProperties": {"patternProperties": {endless: {}}, "additionalProperties": False},
    }
    version = version_with(input_schema=schemas[where])
    if where == "patternProperties":  # left to the app
        check_input(version, "run", {text: 1})
    else:
        with pytest.raises(Fault, match="does not match"):
            check_input(version, "run", {"a": text} if where == "pattern" else {text: 1})


def test_a_pattern_means_what_it_says_and_one_that_only_the_app_understands_is_left_to_it() -> None:
    schema = {"properties": {"a": {"pattern": "^[a-z]{2}$"}, "b": {"pattern": "^(?!x)"}}}
    version = version_with(input_schema=schema)
    check_input(version, "run", {"a": "ab", "b": "xyz"})
    with pytest.raises(Fault, match=r"input: a: 'abc' does not match"):
        check_input(version, "run", {"a": "abc"})


def test_each_function_has_an_input_of_its_own_and_one_without_schema_takes_anything() -> None:
    version = version_with(**TWO)
    check_input(version, "report", {"anything": 1})
    with pytest.raises(Fault, match="'text' is a required property"):
        check_input(version, "add", {})


def test_setup_is_checked_like_input_and_absent_counts_as_empty() -> None:
    version = version_with(setup_schema={**TEXT_IN, "required": []})
    check_setup(version, None)
    check_setup(version_with(), {"anything": 1})
    with pytest.raises(Fault, match="setup: text"):
        check_setup(version, {"text": 3})


# -- what it needs -------------------------------------------------------------------------------------------------

NEEDS = {
    "required_secrets": [{"key": "HF_TOKEN"}, {"key": "OTHER", "optional": True}, {"key": "THIRD"}],
    "required_integrations": [{"key": "google.sheets"}],
}


async def needing(shop: Shop, **version: Any) -> AppVersionRecord:
    """A version with these needs."""
    made = await shop.deploy(version=version)
    return (await shop.resolve("echo@" + made["version"]["id"])).version


async def test_secrets_and_integrations_that_are_not_there_are_listed() -> None:
    async with deploying(secrets={"THIRD": "3"}) as shop:
        version = await needing(shop, **NEEDS)
        with pytest.raises(Fault) as caught:
            shop.check(version)
        told = caught.value.members["errors"]
        assert (caught.value.code, caught.value.detail) == ("requirements_not_met", "HF_TOKEN is not set")
        assert told[0] == {
            "type": "secret", "key": "HF_TOKEN", "message": "HF_TOKEN is not set", "action": {"type": "add_secret"},
        }  # fmt: skip
        assert [(each["type"], each["key"]) for each in told] == [
            ("secret", "HF_TOKEN"),
            ("integration", "google.sheets"),
        ]


@pytest.mark.requirement("app:secrets")
async def test_an_app_gets_the_secrets_it_names_and_no_others_and_nobody_sees_them() -> None:
    async with deploying(secrets={"HF_TOKEN": "hf_secret", "OTHER": "o_secret"}) as shop:
        version = await needing(shop, env={"MODEL": "small"}, required_secrets=[{"key": "HF_TOKEN"}])
        shop.check(version)
        source = await shop.source(version.id)
        assert dict(source.env) == {"MODEL": "small", "HF_TOKEN": "hf_secret"}
        assert "hf_secret" not in repr(source) and "hf_secret" not in str(await shop.apps.get(OWNER, "echo"))


async def test_an_app_for_node_is_stored_and_refused_when_it_is_run() -> None:
    async with deploying() as shop:
        made = await shop.deploy({"inf.yml": INF, "src/inference.js": "x"}, version={"kernel": "node-22"})
        with pytest.raises(Fault, match=r"node-22.*Python") as caught:
            shop.check((await shop.resolve("echo")).version)
        assert caught.value.code == "not_configured"
        assert made["version"]["kernel"] == "node-22"


async def test_an_app_without_code_here_says_how_it_gets_some() -> None:
    async with deploying() as shop:
        await shop.create(version={"repository": "https://example.com/a.git"})
        with pytest.raises(Fault, match="agentkit app deploy"):
            shop.check((await shop.resolve("echo")).version)
