"""Secrets over HTTP and at rest: they go in, are used, and come out nowhere."""

from __future__ import annotations

import logging
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.credentials.sealing import SecretKey
from agentkit.runtime.credentials.vault import Vault
from agentkit.runtime.faults import Fault
from agentkit.runtime.records import IdempotencyRecord
from agentkit.wire import CreateSecret, CursorListRequest
from tests.runtime.deploying import INF, TEXT_IN, deploying, zip_of
from tests.runtime.serving import BARE, Desk, in_process

pytestmark = pytest.mark.heavy

VALUE = "sk-live-0123456789abcdefWXYZ"
OLD, NEW = SecretKey(b"o" * 32), SecretKey(b"n" * 32)


def keyed(*keys: SecretKey) -> dict[str, str]:
    """An environment with these keys."""
    return {"AGENTKIT_SECRET_KEY": ",".join(each.text for each in keys)}


def on_disk(folder: Path) -> bytes:
    """Everything in the folder."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def refusal(desk: Desk, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer that is none."""
    response = await desk.client.request(method, path, headers=BARE, **more)
    assert response.status_code >= 400
    return response.status_code, response.json()


async def test_a_secret_is_stored_listed_masked_changed_and_deleted() -> None:
    async with in_process() as desk:
        made = await desk.post("/secrets", {"key": "API_TOKEN", "value": VALUE, "description": "for the weather"})
        assert (made["key"], made["masked_value"], made["description"]) == ("API_TOKEN", "...WXYZ", "for the weather")
        assert (made["scope"], made["id"] != "") == ("team", True)
        await desk.post("/secrets", {"key": "SHORT", "value": "hunter2"})
        listed = await desk.post("/secrets/list", {"sort": [{"field": "key", "dir": "asc"}]})
        assert [(each["key"], each["masked_value"]) for each in listed["items"]] == [
            ("API_TOKEN", "...WXYZ"),
            ("SHORT", "..."),
        ]
        changed = await desk.client.put("/secrets/API_TOKEN", json={"value": "f" * 40}, headers=BARE)
        assert changed.json()["masked_value"] == "...ffff" and changed.json()["description"] == "for the weather"
        assert await desk.platform.vault.secret("local", "API_TOKEN") == "f" * 40
        gone = await desk.client.delete("/secrets/API_TOKEN", headers=BARE)
        assert gone.status_code == 200 and await desk.platform.vault.secret("local", "API_TOKEN") is None
        assert (await refusal(desk, "DELETE", "/secrets/API_TOKEN"))[0] == 404
        assert (await refusal(desk, "PUT", "/secrets/API_TOKEN", json={"value": "x"}))[0] == 404


async def test_no_answer_has_the_value() -> None:
    async with in_process() as desk:
        answers = [
            await desk.client.post("/secrets", json={"key": "A", "value": VALUE}, headers=BARE),
            await desk.client.post("/secrets", json={"key": "A", "value": VALUE}),  # there is one
            await desk.client.post("/secrets", json={"key": "1A", "value": VALUE}),
            await desk.client.post("/secrets", json={"key": ["A"], "value": VALUE}),
            await desk.client.post("/secrets", json={"key": "B", "value": [VALUE]}),
            await desk.client.put("/secrets/A", json={"value": VALUE, "description": VALUE[:3]}),
            await desk.client.post("/secrets/list", json={"search": {"term": VALUE}}),
            await desk.client.get("/secrets/reveal/A"),
        ]
        shown = repr(desk.platform.vault)
    assert [each.status_code for each in answers] == [200, 409, 422, 422, 422, 200, 200, 403]
    assert not any(VALUE in each.text for each in answers) and VALUE not in shown
    assert "shown to nobody" in answers[-1].text and "PUT /secrets/A" in answers[1].text


@pytest.mark.parametrize("field", ["sealed", "masked", "owner"])
async def test_what_is_kept_cannot_be_asked_for_by_a_filter(field: str) -> None:
    async with in_process() as desk:
        body = {"filters": [{"field": field, "operator": "like", "value": "%"}]}
        assert (await refusal(desk, "POST", "/secrets/list", json=body))[0] == 400


@pytest.mark.parametrize(
    "body",
    [{"key": "", "value": "v"}, {"key": "A-B", "value": "v"}, {"key": "1", "value": "v"}, {"key": "list", "value": "v"},
     {"key": "A" * 129, "value": "v"}, {"key": "A"}, {"key": "A", "value": ""}, {"key": "A", "value": " \n"},
     {"key": "A", "value": "a\x00b"}, {"key": "A", "value": "v" * 65_537},
     {"key": "A", "value": "v", "description": "d" * 2_001}],
    ids=range(11),
)  # fmt: skip
async def test_what_cannot_be_a_secret_is_refused_with_the_field(body: dict[str, Any]) -> None:
    async with in_process() as desk:
        status, told = await refusal(desk, "POST", "/secrets", json=body)
        assert status == 422 and told["errors"][0]["path"] in ("key", "value", "description")
        assert (await desk.post("/secrets/list"))["items"] == []


async def test_a_repeated_request_keeps_no_answer_beside_it() -> None:
    async with in_process() as desk:
        headers = {**BARE, "Idempotency-Key": "k1"}
        for status in (200, 409):
            response = await desk.client.post("/secrets", json={"key": "A", "value": VALUE}, headers=headers)
            assert response.status_code == status
        assert await desk.platform._store.read(lambda tx: tx.find(IdempotencyRecord)) == []


# -- at rest -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("secret:at-rest")
async def test_nothing_on_disk_or_in_the_log_has_the_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    db = tmp_path / "work.db"
    async with in_process(db=db) as desk:
        await desk.post("/secrets", {"key": "A", "value": VALUE})
        assert (tmp_path / "work.db-wal").exists()
        found = on_disk(tmp_path)  # the log of changes too
        assert b"masked" in found and VALUE.encode() not in found and VALUE[8:20].encode() not in found
        assert stat.S_IMODE((tmp_path / "work.db.key").stat().st_mode) == 0o600
    assert VALUE.encode() not in on_disk(tmp_path) and VALUE not in caplog.text
    async with in_process(db=db) as desk:
        assert await desk.platform.vault.secret("local", "A") == VALUE


async def test_with_another_key_nothing_opens_nothing_is_lost_and_the_way_out_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = tmp_path / "work.db"
    async with in_process(db=db, environ=keyed(OLD)) as desk:
        await desk.post("/secrets", {"key": "A", "value": VALUE})
        await desk.post("/secrets", {"key": "B", "value": VALUE})
    async with in_process(db=db, environ=keyed(NEW)) as desk:
        assert "2 stored secrets and integrations cannot be used" in caplog.text
        with pytest.raises(Fault, match=rf"secret 'A'.*{OLD.id}.*{NEW.id}.*AGENTKIT_SECRET_KEY=new,old"):
            await desk.platform.vault.secret("local", "A")
        assert len((await desk.post("/secrets/list"))["items"]) == 2
        await desk.client.put("/secrets/B", json={"value": "anew" * 4}, headers=BARE)
        assert await desk.platform.vault.secret("local", "B") == "anew" * 4
    async with in_process(db=db, environ=keyed(OLD, NEW)) as desk:
        assert await desk.platform.vault.secret("local", "A") == VALUE


async def test_a_new_first_key_takes_over_at_the_next_start(tmp_path: Path) -> None:
    db = tmp_path / "work.db"
    async with in_process(db=db, environ=keyed(OLD)) as desk:
        await desk.post("/secrets", {"key": "A", "value": VALUE})
        await desk.post("/integrations", {"provider": "github", "api_key": VALUE})
    async with in_process(db=db, environ=keyed(NEW, OLD)) as desk:
        assert await desk.platform.vault.secret("local", "A") == VALUE
    async with in_process(db=db, environ=keyed(NEW)) as desk:
        assert await desk.platform.vault.secret("local", "A") == VALUE
        credential = await desk.platform.keychain.credential("local", provider="github")
        assert credential is not None and credential.headers["Authorization"] == f"Bearer {VALUE}"


async def test_a_key_file_that_is_lost_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    db, file = tmp_path / "work.db", tmp_path / "work.db.key"
    async with in_process(db=db) as desk:
        await desk.post("/secrets", {"key": "A", "value": VALUE})
    kept = file.read_bytes()
    file.unlink()
    async with in_process(db=db) as desk:
        status, told = await refusal(desk, "POST", "/secrets", json={"key": "B", "value": VALUE})
        assert status == 409 and "work.db.key' is not there" in told["detail"] and not file.exists()
        with pytest.raises(Fault, match="put it back"):
            await desk.platform.vault.secret("local", "A")
        file.write_bytes(kept)
        file.chmod(0o600)
        assert await desk.platform.vault.secret("local", "A") == VALUE  # without a new start


async def test_a_key_file_that_others_can_read_keeps_the_server_from_starting(tmp_path: Path) -> None:
    (tmp_path / "work.db.key").write_text(OLD.text)
    (tmp_path / "work.db.key").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        async with in_process(db=tmp_path / "work.db"):
            pass


async def test_sealed_values_that_were_moved_or_changed_in_the_database_are_refused(tmp_path: Path) -> None:
    db = tmp_path / "work.db"
    async with in_process(db=db) as desk:
        await desk.post("/secrets", {"key": "MINE", "value": VALUE})
        await desk.post("/secrets", {"key": "OTHER", "value": "other" * 4})
    connection = sqlite3.connect(db)
    bodies = dict(connection.execute("SELECT key, body FROM secret"))
    sealed = {key: body.partition('"sealed":"')[2].partition('"')[0] for key, body in bodies.items()}
    for key, other in (("MINE", "OTHER"), ("OTHER", "MINE")):
        connection.execute(
            "UPDATE secret SET body = replace(body, ?, ?) WHERE key = ?", (sealed[key], sealed[other], key)
        )
    connection.commit()
    connection.close()
    async with in_process(db=db) as desk:
        for key in ("MINE", "OTHER"):
            with pytest.raises(Fault, match=rf"secret '{key}'.*changed from outside"):
                await desk.platform.vault.secret("local", key)


async def test_without_the_package_the_answer_is_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_process() as desk:
        monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
        status, told = await refusal(desk, "POST", "/secrets", json={"key": "A", "value": VALUE})
    assert status == 409 and "pip install 'agentkit[secrets]'" in told["detail"]


# -- who uses them -------------------------------------------------------------------------------------------------


async def test_an_owners_own_secret_goes_before_the_configured_one_and_nobody_has_anothers() -> None:
    async with deploying() as shop:
        vault = Vault(shop.store, configured={"A": "everybody's", "B": "too"})
        await vault.create("ann", CreateSecret(key="A", value="ann's own"))
        assert [await vault.secret(owner, "A") for owner in ("ann", "bob")] == ["ann's own", "everybody's"]
        assert dict(await vault.only("ann", ["A", "B", "C"])) == {"A": "ann's own", "B": "too"}
        assert (await vault.page("bob", CursorListRequest()))["items"] == []
        assert "ann's own" not in repr(await vault.only("ann", ["A"]))


@pytest.mark.heavy
async def test_a_stored_secret_meets_what_an_app_requires_and_reaches_its_worker() -> None:
    code = """import os
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput


class In(BaseAppInput):
    text: str


class Out(BaseAppOutput):
    text: str


class App(BaseApp):
    async def run(self, given: In) -> Out:
        return Out(text=os.environ["HF_TOKEN"][::-1] + os.environ["GITHUB_ACCESS_TOKEN"][::-1])
"""
    async with in_process() as desk:
        [record] = await desk.post("/files", {"files": [{"uri": "", "filename": "app.zip"}]})
        await desk.client.put(record["upload_url"], content=zip_of({"inf.yml": INF, "inference.py": code}))
        needs = {"required_secrets": [{"key": "HF_TOKEN"}], "required_integrations": [{"key": "github"}]}
        version = {"repository": record["uri"], "input_schema": TEXT_IN, **needs}
        await desk.post("/apps", {"name": "echo", "version": version})
        run = {"app": "echo", "input": {"text": "a"}}
        status, told = await refusal(desk, "POST", "/run", json=run)
        assert status == 412 and [(each["type"], each["key"]) for each in told["errors"]] == [
            ("secret", "HF_TOKEN"), ("integration", "github"),
        ]  # fmt: skip
        await desk.post("/secrets", {"key": "HF_TOKEN", "value": "hf_abc"})
        await desk.post("/integrations", {"provider": "github", "api_key": "ghp_def"})
        assert (await desk.post("/run", run))["output"] == {"text": "cba_fhfed_phg"}
