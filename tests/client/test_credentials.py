"""`client.secrets` and `client.integrations`, both twins' requests against the runtime in this process."""

from __future__ import annotations

import pytest

from agentkit import Runtime
from agentkit.errors import ConflictError, NotFoundError, PermissionDeniedError, UsageError
from agentkit.protocol import api

VALUE = "sk-live-0123456789abcdefWXYZ"


def test_secrets_are_set_listed_and_deleted() -> None:
    with Runtime(environ={}) as runtime, runtime.client() as client:
        assert client.secrets.set("A", "short", description="why").masked_value == "..."
        again = client.secrets.set("A", VALUE)
        assert (again.masked_value, again.description) == ("...WXYZ", "why")
        with pytest.raises(ConflictError, match="PUT /secrets/A"):
            client.secrets.create("A", VALUE)
        assert client.secrets.update("A", description="other").description == "other"
        client.secrets.set("B", VALUE)
        assert [each.key for each in client.secrets.iterate(limit=1)] == ["B", "A"]
        assert [each.key for each in client.secrets.list(search="b").items] == ["B"]
        client.secrets.delete("A")
        with pytest.raises(NotFoundError, match="no secret 'A'"):
            client.secrets.delete("A")
        with pytest.raises(PermissionDeniedError, match="shown to nobody"):
            client._transport.send(api.REVEAL_SECRET.call(key="B"))


def test_a_value_of_a_wrong_type_is_not_repeated() -> None:
    with Runtime(environ={}) as runtime, runtime.client() as client:
        with pytest.raises(UsageError, match=r"set\(\): value") as caught:
            client.secrets.set("A", 1234567890123)  # type: ignore[arg-type]
        assert "1234567890123" not in str(caught.value)


def test_integrations_are_connected_checked_and_disconnected() -> None:
    with Runtime(environ={}, integrations={"stash": {"takes_api_key": True}}) as runtime, runtime.client() as client:
        assert {"stash", "github"} <= {each.provider for each in client.integrations.available()}
        missing = client.integrations.check(secrets=["T"], integrations=["stash", {"key": "github", "optional": True}])
        assert [(each.type, each.key) for each in missing.errors] == [("secret", "T"), ("integration", "stash")]
        done = client.integrations.connect("stash", api_key=VALUE, metadata={"team": "a"})
        assert done.integration is not None and done.integration.status == "connected"
        assert VALUE not in f"{done!r} {client.integrations.list()!r}"
        assert client.integrations.get("stash").metadata == {"team": "a"}
        assert client.integrations.check(integrations=["stash"]).satisfied
        assert [each.provider for each in client.integrations.iterate()] == ["stash"]
        client.integrations.disconnect("stash")
        with pytest.raises(NotFoundError):
            client.integrations.get("stash")


async def test_the_asynchronous_twins_do_the_same() -> None:
    async with Runtime(environ={}) as runtime, runtime.async_client() as client:
        await client.secrets.set("A", VALUE)
        await client.secrets.set("A", VALUE[::-1])
        assert [each.key async for each in client.secrets.iterate()] == ["A"]
        await client.integrations.connect("github", api_key=VALUE)
        assert [each.provider async for each in client.integrations.iterate()] == ["github"]
        assert (await client.integrations.check(secrets=["A"], integrations=["github"])).satisfied
        await client.integrations.disconnect("github")
        await client.secrets.delete("A")
        assert (await client.secrets.list()).items == []
