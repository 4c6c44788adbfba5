"""Integrations against a real OAuth server on loopback: the dance, tokens kept fresh, and what goes wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx
import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.credentials.providers import parse_providers, read_providers
from agentkit.runtime.executors.credentials import Credential
from agentkit.runtime.faults import Fault
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import AuthorizationRecord, IntegrationRecord
from tests.runtime.oauth_server import CLIENT_SECRET, OAuthServer, oauth_server
from tests.runtime.serving import BARE, Desk, in_process
from tests.runtime.serving import KEY as SERVER_KEY

pytestmark = pytest.mark.heavy

HERE = "http://127.0.0.1:8787"  # how a browser would reach the server
KEY = "ghp_0123456789abcdefWXYZ"


@pytest.fixture
def provider() -> Iterator[OAuthServer]:
    with oauth_server() as server:
        yield server


@asynccontextmanager
async def desk_with(server: OAuthServer, *, told: dict[str, Any] | None = None, **more: Any) -> AsyncGenerator[Desk]:
    """A platform whose `acme` is this server."""
    integrations = {"acme": server.provider(**(told or {}))}
    async with in_process(
        base_url=HERE, integrations=integrations, secrets={"ACME_CLIENT_SECRET": CLIENT_SECRET}, **more
    ) as desk:
        yield desk


async def way_back(auth_url: str) -> str:
    """What a browser is sent to after the yes: path and query."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(auth_url)
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}" == HERE
    return f"{back.path}?{back.query}"


async def connected(desk: Desk, **more: Any) -> dict[str, Any]:
    """The connection to `acme`, made."""
    begun = await desk.post("/integrations", {"provider": "acme", **more})
    return dict(await desk.get(await way_back(begun["auth_url"])))


async def header(desk: Desk) -> str | None:
    """What a tool would send to `acme`."""
    found = await desk.platform.keychain.credential("local", provider="acme", integration_id=None)
    return found.headers["Authorization"] if found else None


async def over(desk: Desk, *, seconds: float = -1) -> None:
    """Its token ends now, or in so many seconds."""

    def change(tx: Writing) -> None:
        [record] = tx.find(IntegrationRecord)
        tx.update(record.but(expires_at=later(tx.now, seconds)))

    await desk.platform._store.write(change)


# -- connecting ----------------------------------------------------------------------------------------------------


async def test_a_person_says_yes_in_a_browser_and_tools_have_a_token(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        begun = await desk.post("/integrations", {"provider": "acme", "scopes": ["sheets"]})
        query = dict(parse_qsl(urlsplit(begun["auth_url"]).query))
        assert (query["code_challenge_method"], query["state"]) == ("S256", begun["state"])
        assert query["scope"] == "read sheets.read sheets.write" and begun["code_verifier"] not in begun["auth_url"]
        assert begun["integration"]["status"] == "pending" and await header(desk) is None
        back = await way_back(begun["auth_url"])
        page = await desk.client.get(back, headers={"Accept": "text/html,*/*", "Sec-Fetch-Mode": "navigate"})
        assert (page.status_code, "acme is connected" in page.text) == (200, True)
        assert page.headers["content-security-policy"] == "default-src 'none'"
        assert page.headers["referrer-policy"] == "no-referrer"
        found = await desk.get("/integrations/acme")
        assert (found["status"], found["type"], found["auth"]) == ("connected", "oauth", "oauth")
        assert found["scopes"] == ["read", "sheets.read", "sheets.write"] and found["expires_at"]
        assert await header(desk) == "Bearer access-token-0"
        assert [each["provider"] for each in (await desk.post("/integrations/list"))["items"]] == ["acme"]


async def test_no_token_is_in_an_answer_on_disk_or_in_the_log(
    provider: OAuthServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "agentkit")
    async with desk_with(provider, db=tmp_path / "work.db") as desk:
        begun = await desk.post("/integrations", {"provider": "acme"})
        told = await desk.get(await way_back(begun["auth_url"]))
        await over(desk)
        assert await header(desk) == "Bearer access-token-2"
        answers = [told, await desk.get("/integrations/acme"), await desk.get("/integrations/available"),
                   await desk.post("/integrations/list")]  # fmt: skip
        disk = b"\n".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for secret in (*provider.given, begun["code_verifier"], begun["state"], CLIENT_SECRET):
        assert secret not in json.dumps(answers) and secret.encode() not in disk and secret not in caplog.text
    async with desk_with(provider, db=tmp_path / "work.db") as desk:
        assert await header(desk) == "Bearer access-token-2"


async def test_the_browser_that_comes_back_needs_no_key_and_everything_else_does(provider: OAuthServer) -> None:
    async with desk_with(provider, keys=[SERVER_KEY]) as desk:
        keyed = {**BARE, "Authorization": f"Bearer {SERVER_KEY}"}
        begun = await desk.client.post("/integrations", json={"provider": "acme"}, headers=keyed)
        back = await way_back(begun.json()["auth_url"])
        assert (await desk.client.get("/integrations/acme", headers=BARE)).status_code == 401
        assert (await desk.client.get(back)).status_code == 200
        assert (await desk.client.get("/integrations/acme", headers=keyed)).json()["status"] == "connected"


async def test_the_way_back_is_good_once(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        begun = await desk.post("/integrations", {"provider": "acme"})
        back = await way_back(begun["auth_url"])
        statuses = [(await desk.client.get(back, headers=BARE)).status_code for _ in range(2)]
        assert statuses == [200, 400]
        assert await desk.platform._store.read(lambda tx: tx.find(AuthorizationRecord)) == []


@pytest.mark.parametrize("query", ["", "?state=&code=", "?state=nobody&code=c", "?code=c", "?state=%00&code=%ff"])
async def test_a_way_back_that_nobody_asked_for_changes_nothing(provider: OAuthServer, query: str) -> None:
    async with desk_with(provider) as desk:
        answer = await desk.client.get(f"/integrations/callback{query}", headers=BARE)
        assert answer.status_code == 400 and answer.json()["type"].endswith("/invalid_code")
        assert provider.asked == []


async def test_an_answer_that_comes_too_late_does_not_count(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        begun = await desk.post("/integrations", {"provider": "acme"})

        def age(tx: Writing) -> None:
            [record] = tx.find(AuthorizationRecord)
            tx.update(record.but(expires_at=tx.now))

        await desk.platform._store.write(age)
        answer = await desk.client.get(await way_back(begun["auth_url"]), headers=BARE)
        assert answer.status_code == 400 and provider.asked == []


async def test_a_person_who_says_no_is_told_of_and_the_page_repeats_no_markup(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        begun = await desk.post("/integrations", {"provider": "acme"})
        path = f"/integrations/callback?state={begun['state']}&error=<b>access_denied</b>"
        page = await desk.client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 400 and "<b>" not in page.text and "&lt;b&gt;access_denied" in page.text
        found = await desk.get("/integrations/acme")
        assert found["status"] == "error" and "access_denied" in found["error_message"]
        assert (await connected(desk))["status"] == "connected"


async def test_a_code_that_the_provider_refuses_is_an_error_without_what_was_sent(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        begun = await desk.post("/integrations", {"provider": "acme"})
        back = await way_back(begun["auth_url"])
        provider.error = "invalid_client"
        answer = await desk.client.get(back, headers=BARE)
        message = (await desk.get("/integrations/acme"))["error_message"]
    for text in (answer.text, message):
        assert "invalid_client: no good: authorization_code ***" in text
        assert CLIENT_SECRET not in text and begun["code_verifier"] not in text


async def test_a_connection_that_works_goes_on_working_when_more_scopes_are_refused(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        begun = await desk.post("/integrations", {"provider": "acme", "scopes": ["more"]})
        assert begun["integration"]["status"] == "connected"
        await desk.client.get(f"/integrations/callback?state={begun['state']}&error=access_denied")
        assert (await desk.get("/integrations/acme"))["status"] == "connected"
        assert await header(desk) == "Bearer access-token-0"
        assert (await connected(desk, scopes=["more"]))["scopes"] == ["read", "more"]


async def test_without_a_client_id_it_says_which_secret_to_add(provider: OAuthServer) -> None:
    async with desk_with(provider, told={"client_id": ""}) as desk:
        answer = await desk.client.post("/integrations", json={"provider": "acme"}, headers=BARE)
        assert answer.status_code == 412 and answer.json()["errors"][0] == {
            "type": "secret", "key": "ACME_CLIENT_ID", "action": {"type": "add_secret", "provider": "acme"},
            "message": "ACME_CLIENT_ID is not set: register an OAuth client with acme",
        }  # fmt: skip
        offered = {each["provider"]: each for each in await desk.get("/integrations/available")}
        assert offered["acme"]["available"] is False
        await desk.post("/secrets", {"key": "ACME_CLIENT_ID", "value": "agent kit"})
        assert (await connected(desk))["status"] == "connected"
        offered = {each["provider"]: each for each in await desk.get("/integrations/available")}
        assert offered["acme"]["available"] and offered["acme"]["integration"]["status"] == "connected"
        assert {"google", "github", "slack", "notion"} <= offered.keys()


@pytest.mark.parametrize("told", [{"client_auth": "basic"}, {"sends_json": True}, {"uses_pkce": False}], ids=str)
async def test_providers_have_ways_of_their_own(provider: OAuthServer, told: dict[str, Any]) -> None:
    async with desk_with(provider, told=told) as desk:
        assert (await connected(desk))["status"] == "connected"
        assert ("client_secret" in provider.asked[0]) is ("client_auth" not in told)
        assert ("code_verifier" in provider.asked[0]) is ("uses_pkce" not in told)


async def test_an_answer_may_be_a_form_and_a_token_without_an_end(provider: OAuthServer) -> None:
    provider.is_form, provider.lifetime_seconds = True, None
    async with desk_with(provider) as desk:
        assert (await connected(desk))["expires_at"] is None
        assert await header(desk) == "Bearer access-token-0"


@pytest.mark.parametrize("more", [{"access_token": ""}, {"access_token": "a\nb"}, {"access_token": 3}], ids=str)
async def test_an_answer_without_a_token_that_can_be_sent_is_refused(
    provider: OAuthServer, more: dict[str, Any]
) -> None:
    provider.more = more
    async with desk_with(provider) as desk:
        begun = await desk.post("/integrations", {"provider": "acme"})
        answer = await desk.client.get(await way_back(begun["auth_url"]), headers=BARE)
        assert answer.status_code == 400 and "without an access_token" in answer.json()["detail"]


async def test_a_runtime_that_no_browser_reaches_says_what_to_do_instead(provider: OAuthServer) -> None:
    integrations = {"acme": provider.provider()}
    secrets = {"ACME_CLIENT_SECRET": CLIENT_SECRET}
    async with in_process(integrations=integrations, secrets=secrets) as desk:
        answer = await desk.client.post("/integrations", json={"provider": "acme"}, headers=BARE)
        assert answer.status_code == 409 and "redirect_uri" in answer.json()["detail"]
        begun = await desk.post("/integrations", {"provider": "acme", "redirect_uri": f"{HERE}/mine"})
        back = await way_back(begun["auth_url"])
        assert back.startswith("/mine?")
        done = await desk.get(f"/integrations/callback?{back.partition('?')[2]}")
        assert done["status"] == "connected"


async def test_disconnecting_forgets_everything(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        begun = await desk.post("/integrations", {"provider": "acme"})
        assert (await desk.client.delete("/integrations/acme", headers=BARE)).status_code == 200
        assert await header(desk) is None
        assert (await desk.client.get("/integrations/acme", headers=BARE)).status_code == 404
        assert (await desk.client.delete("/integrations/acme", headers=BARE)).status_code == 404
        answer = await desk.client.get(await way_back(begun["auth_url"]), headers=BARE)
        assert answer.status_code == 400


# -- keeping tokens fresh ------------------------------------------------------------------------------------------


async def test_a_token_is_refreshed_before_its_end_and_the_refresh_token_follows(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        await over(desk, seconds=61)
        assert await header(desk) == "Bearer access-token-0" and provider.refreshed == 0
        for number in (2, 4):
            await over(desk, seconds=30)
            assert await header(desk) == f"Bearer access-token-{number}"
        assert provider.refreshed == 2


async def test_a_refresh_token_that_is_not_replaced_stays(provider: OAuthServer) -> None:
    provider.rotates = False
    async with desk_with(provider) as desk:
        await connected(desk)
        for _ in range(2):
            await over(desk)
            assert (await header(desk) or "").startswith("Bearer access-token-")
        assert provider.refreshed == 2 and (await desk.get("/integrations/acme"))["scopes"] == ["read"]


@pytest.mark.requirement("integration:one-refresh")
async def test_calls_at_once_share_one_refresh(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        await over(desk)
        found: list[str | None] = []

        async def call() -> None:
            found.append(await header(desk))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for _ in range(30):
                    group.start_soon(call)
        assert found == ["Bearer access-token-2"] * 30 and provider.refreshed == 1


async def test_a_caller_that_is_cancelled_half_way_does_not_cost_the_refresh_token(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        await over(desk)
        provider.gate.clear()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(header, desk)
                while provider.refreshed == 0:  # it has used the token up
                    await anyio.sleep(0.005)
                group.cancel_scope.cancel()
                provider.gate.set()
        assert await header(desk) == "Bearer access-token-2" and provider.refreshed == 1


async def test_a_connection_that_was_revoked_expires_and_is_asked_for_like_one_that_is_missing(
    provider: OAuthServer,
) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        await over(desk)
        provider.revoke()
        for _ in range(2):
            with pytest.raises(Fault, match=r"invalid_grant: used up: \*\*\*") as caught:
                await header(desk)
            assert caught.value.code == "requirements_not_met"
            assert caught.value.members["errors"][0]["action"] == {"type": "connect", "provider": "acme"}
        found = await desk.get("/integrations/acme")
        assert (found["status"], len(provider.asked)) == ("expired", 2)
        told = await desk.post("/integrations/check", {"integrations": [{"key": "acme"}]})
        assert told["errors"][0]["message"].startswith("acme is not connected; connect acme again: acme refused")
        assert (await connected(desk))["error_message"] == ""
        assert await header(desk) == "Bearer access-token-2"


async def test_a_provider_that_is_down_costs_nothing_while_the_token_lasts(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        provider.is_down = True
        await over(desk, seconds=30)
        assert await header(desk) == "Bearer access-token-0"
        await over(desk)
        with pytest.raises(Fault, match="acme refused: HTTP 503") as caught:
            await header(desk)
        assert caught.value.code == "unavailable" and (await desk.get("/integrations/acme"))["status"] == "connected"
        provider.is_down = False
        assert await header(desk) == "Bearer access-token-2"


async def test_a_token_that_is_over_at_once_is_refreshed_once_and_then_refused(provider: OAuthServer) -> None:
    async with desk_with(provider) as desk:
        await connected(desk)
        provider.lifetime_seconds = 0.000001
        await over(desk)
        with pytest.raises(Fault, match="over already"):
            await header(desk)
        assert provider.refreshed == 1


async def test_a_token_without_a_refresh_token_is_used_to_its_end(provider: OAuthServer) -> None:
    provider.more = {"refresh_token": None}
    async with desk_with(provider) as desk:
        provider.rotates = False
        provider._good.add("none")
        await connected(desk)
        await over(desk, seconds=5)
        assert await header(desk) == "Bearer access-token-0"
        await over(desk)
        with pytest.raises(Fault, match="no refresh token"):
            await header(desk)
        assert (await desk.get("/integrations/acme"))["status"] == "expired"


# -- API keys of providers, and requirements -----------------------------------------------------------------------


async def test_a_provider_may_take_an_api_key_in_a_header_of_its_own() -> None:
    stash = {"takes_api_key": True, "api_key_header": "X-Stash", "api_key_prefix": "", "headers": {"X-Version": "1"}}
    async with in_process(integrations={"stash": stash}) as desk:
        for name in ("stash", "notion"):
            done = await desk.post("/integrations", {"provider": name, "api_key": f" {KEY}\n"})
            assert (done["integration"]["status"], done["auth_url"]) == ("connected", "")
            assert KEY not in json.dumps(done)
        credentials = [await desk.platform.keychain.credential("local", provider=each) for each in ("stash", "notion")]
        id = (await desk.get("/integrations/stash"))["id"]
        by_id = await desk.platform.keychain.credential("local", provider="", integration_id=id)
        others = [
            await desk.platform.keychain.credential("eve", provider="stash", integration_id=id),
            await desk.platform.keychain.credential("local", provider="notion", integration_id=id),
            await desk.platform.keychain.credential("eve", provider="stash"),
        ]
    assert credentials == [
        Credential({"X-Version": "1", "X-Stash": KEY}),
        Credential({"Notion-Version": "2022-06-28", "Authorization": f"Bearer {KEY}"}),
    ]
    assert by_id == credentials[0] and others == [None, None, None] and KEY not in repr(credentials)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"provider": "nobody"}, 404), ({}, 404), ({"provider": "google", "api_key": KEY}, 422),
     ({"provider": "github", "type": "service_account"}, 422), ({"provider": "github", "type": "api_key"}, 422),
     ({"provider": "github", "api_key": "a\nb"}, 422), ({"provider": "github", "api_key": "ü"}, 422),
     ({"provider": "github", "api_key": [KEY]}, 422)],
    ids=range(8),
)  # fmt: skip
async def test_what_cannot_be_connected_is_refused_and_not_repeated(body: dict[str, Any], status: int) -> None:
    async with in_process() as desk:
        answer = await desk.client.post("/integrations", json=body, headers=BARE)
        assert answer.status_code == status and KEY not in answer.text
        assert (await desk.post("/integrations/list"))["items"] == []


@pytest.mark.requirement("integration:requirements")
async def test_what_is_missing_is_told_in_the_shape_of_a_412(provider: OAuthServer) -> None:
    wanted = {
        "secrets": [{"key": "HF_TOKEN"}, {"key": "OPTIONAL", "optional": True}, {"key": "ACME_CLIENT_SECRET"}],
        "integrations": [{"key": "acme.sheets"}, {"key": "nobody.x"}, {"key": "github", "optional": True}],
    }
    async with desk_with(provider) as desk:
        told = await desk.post("/integrations/check", wanted)
        assert told["satisfied"] is False and [(each["type"], each["key"]) for each in told["errors"]] == [
            ("secret", "HF_TOKEN"), ("integration", "acme.sheets"), ("integration", "nobody.x"),
        ]  # fmt: skip
        assert told["errors"][1]["action"] == {"type": "connect", "provider": "acme"}
        await desk.post("/secrets", {"key": "HF_TOKEN", "value": "x" * 20})
        await connected(desk)
        [first, _] = (await desk.post("/integrations/check", wanted))["errors"]
        assert first == {
            "type": "scope", "key": "acme.sheets", "message": "Missing acme scopes",
            "action": {"type": "add_scopes", "provider": "acme", "scopes": ["sheets.read", "sheets.write"]},
        }  # fmt: skip
        await connected(desk, scopes=first["action"]["scopes"])
        wanted["integrations"].pop(1)
        assert await desk.post("/integrations/check", wanted) == {"satisfied": True, "errors": []}


async def test_the_newest_sdks_find_it_all_under_credentials() -> None:
    async with in_process() as desk:
        begun = await desk.post("/credentials", {"provider": "github", "api_key": KEY})
        assert begun["integration"]["status"] == "connected"
        for path in ("available", "github"):
            assert await desk.get(f"/credentials/{path}") == await desk.get(f"/integrations/{path}")
        for path in ("list", "check"):
            assert await desk.post(f"/credentials/{path}") == await desk.post(f"/integrations/{path}")
        assert (await desk.client.delete("/credentials/github", headers=BARE)).status_code == 200
        assert (await desk.client.get("/integrations/github", headers=BARE)).status_code == 404


# -- the catalogue -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told", "why"),
    [
        ("list", {"takes_api_key": True}, "a name has"),
        ("A B", {"takes_api_key": True}, "a name has"),
        ("acme", None, "give an object"),
        ("acme", {}, "give authorize_url and token_url"),
        ("acme", {"authorize_url": "https://a/b"}, "go together"),
        ("acme", {"authorize_url": "ftp://a/b", "token_url": "https://a/b"}, "authorize_url.*http"),
        ("acme", {"takes_api_key": True, "client_secrets": "x"}, "client_secrets"),
        ("acme", {"takes_api_key": True, "api_key_header": "A: b"}, "header"),
        ("google", {"client_auth": "magic"}, "client_auth"),
    ],
    ids=range(9),
)
def test_a_provider_that_makes_no_sense_is_named(name: str, told: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"integration '{name}': .*{why}"):
        parse_providers({name: told})


def test_a_known_provider_keeps_what_is_not_changed() -> None:
    found = parse_providers({"google": {"client_id": "mine"}})["google"]
    assert (found.client_id, found.token_url) == ("mine", "https://oauth2.googleapis.com/token")


@pytest.mark.parametrize(
    ("file", "text"), [("a.json", '{"stash": {"takes_api_key": true}}'), ("a.yml", "stash: {takes_api_key: true}\n")]
)
def test_providers_come_from_a_file_of_json_or_yaml(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    assert read_providers(tmp_path / file) == {"stash": {"takes_api_key": True}}
    (tmp_path / file).write_text("[1")
    with pytest.raises(ConfigError, match=file):
        read_providers(tmp_path / file)
    with pytest.raises(ConfigError, match="No such file"):
        read_providers(tmp_path / "none.json")
