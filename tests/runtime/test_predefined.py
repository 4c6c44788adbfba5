"""Apps given in code: described from their folder, stored under their reference, changed when the folder is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.ports import Writing
from agentkit.runtime.predefined import describe_folders, predefine_app
from agentkit.wire import CursorListRequest
from tests.runtime.deploying import ECHO, FILES, OWNER, Shop, deploying, write_app

pytestmark = pytest.mark.heavy  # real processes

SLOWER = pytest.mark.timeout(60)  # each describes in a process of its own


async def predefine(shop: Shop, apps: dict[str, Any]) -> int:
    """What opening a runtime does; how many had to be described."""
    described = await describe_folders(apps, store=shop.store, workshop=shop.workshop)

    def change(tx: Writing) -> None:
        for ref, each in described.items():
            predefine_app(tx, ref, each)

    await shop.store.write(change)
    return sum(each is not None for each in described.values())


@SLOWER
async def test_a_folder_is_an_app_with_its_schemas_and_can_be_run(tmp_path: Path) -> None:
    folder = write_app(
        tmp_path / "my echo", {**FILES, "inf.yml": "name: other\ndescription: says it\ncategory: text\n"}
    )
    async with deploying() as shop:
        assert await predefine(shop, {"me/echo": folder}) == 1
        app = await shop.apps.get(OWNER, "me/echo")
        assert (app["namespace"], app["name"], app["description"], app["category"]) == ("me", "echo", "says it", "text")
        assert app["version"]["functions"]["run"]["input_schema"]["required"] == ["text"]
        found = await shop.resolve("me/echo:run")
        shop.check(found.version)
        source = await shop.source(found.version.id)
        assert (source.folder, source.is_compat) == (folder, False)


@SLOWER
@pytest.mark.asyncio_only
async def test_the_code_is_described_again_when_it_changed_and_only_then(tmp_path: Path) -> None:
    folder, db = write_app(tmp_path / "echo"), tmp_path / "a.db"
    async with deploying(db) as shop:
        assert await predefine(shop, {"echo": folder}) == 1
        first = await shop.apps.get(OWNER, "local/echo")
    async with deploying(db) as shop:
        assert await predefine(shop, {"echo": folder}) == 0
    (folder / "inference.py").write_text(ECHO.replace("text: str", "word: str").replace("given.text", "given.word"))
    async with deploying(db) as shop:
        assert await predefine(shop, {"echo": folder}) == 1
        app = await shop.apps.get(OWNER, "echo")
        assert app["version"]["input_schema"]["required"] == ["word"]
        assert app["version_id"] == first["version_id"]  # the folder has no older code to run
        assert len((await shop.apps.versions(OWNER, "echo", CursorListRequest()))["items"]) == 1


@SLOWER
@pytest.mark.trio_only
async def test_several_are_described_and_a_version_in_the_reference_becomes_its_id(tmp_path: Path) -> None:
    one = write_app(tmp_path / "one")
    two = write_app(tmp_path / "two", {**FILES, "inference.py": ECHO.replace("agentkit.apps", "inferencesh")})
    async with deploying() as shop:
        assert await predefine(shop, {"me/one@v1": one, "me/two": str(two)}) == 2
        assert (await shop.resolve("me/one@v1")).version.id == "v1"
        assert (await shop.resolve("me/two")).version.is_compat
        assert (await shop.resolve("me/two")).function == "run"


@SLOWER
@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("ref", "files", "said"),
    [
        ("me/echo", {**FILES, "inference.py": "raise ValueError('not today')\n"}, "not today"),
        ("me/echo", {**FILES, "inference.py": "import os\nos._exit(3)\n"}, "exit code 3"),
        ("me/echo", {**FILES, "inf.yml": "name: [\n"}, "inf.yml"),
        ("me/echo", {"inference.py": ECHO}, "inf.yml"),
        ("me/echo", {}, "inf.yml and inference.py"),
        ("me//echo", FILES, "namespace/name"),
        ("me/echo:run", FILES, "without a type or function"),
        ("me/versions", FILES, "versions"),
    ],
)
async def test_what_cannot_be_an_app_is_a_config_error_that_names_it(
    tmp_path: Path, ref: str, files: dict[str, str | bytes], said: str
) -> None:
    folder = write_app(tmp_path / "echo", files)
    async with deploying() as shop:
        with pytest.raises(ConfigError, match=said) as caught:
            await predefine(shop, {ref: folder})
        assert ref in str(caught.value)
        assert (await shop.apps.page(OWNER, CursorListRequest()))["items"] == []


@SLOWER
@pytest.mark.asyncio_only
async def test_an_app_that_is_described_sees_none_of_the_servers_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    source = "import os\nassert 'OPENAI_API_KEY' not in os.environ, 'it is there'\n" + ECHO
    folder = write_app(tmp_path / "echo", {**FILES, "inference.py": source})
    async with deploying() as shop:
        assert await predefine(shop, {"me/echo": folder}) == 1


@SLOWER
@pytest.mark.asyncio_only
async def test_a_version_that_another_app_has_is_a_config_error(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "echo")
    async with deploying() as shop:
        with pytest.raises(ConfigError, match="another app has the version 'abc12345'"):
            await predefine(shop, {"me/a@abc12345": folder, "me/b@abc12345": folder})
