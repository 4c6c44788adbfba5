"""What hangs on a client beside the conversation: files, stored agents, context, settings."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from agentkit import FileRef, UploadFileOptions, UsageError, inference, string, tool
from agentkit.client.config import configure
from agentkit.errors import ConfigError, NotFoundError
from tests.client.conftest import Home
from tests.client.ways import AGENT, play

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 32


def attachments(place: Any) -> list[Any]:
    """What the model got with the last user message."""
    return list(next(each for each in reversed(place.model.requests[-1].messages) if str(each.role) == "user").images)


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [PNG, bytearray(PNG), base64.b64encode(PNG).decode(), "data:image/png;base64," + base64.b64encode(PNG).decode()],
    ids=["bytes", "bytearray", "base64", "data-uri"],
)
def test_a_file_in_any_form_is_sent_with_the_message(home: Home, given: Any) -> None:
    place = home("A picture.")
    assert place.agent().send_message("What is this?", [given]).content[0].text == "A picture."
    (image,) = attachments(place)
    assert image == "data:image/png;base64," + base64.b64encode(PNG).decode()


def test_a_file_is_uploaded_once_and_sent_by_reference(home: Home) -> None:
    place = home("One.", "Two.")
    agent = place.agent()
    ref = agent.upload_file(PNG, "dot.png")
    assert isinstance(ref, FileRef)
    assert (ref.filename, ref.content_type, ref.size) == ("dot.png", "image/png", len(PNG))
    agent.send_message("one", files=[ref])
    agent.send_message("two", files=[{"uri": ref.uri, "content_type": "image/png"}])
    assert len(place.client.files.list().items) == 1


def test_files_keep_their_order(home: Home) -> None:
    place = home("Three files.")
    agent = place.agent()
    first = agent.upload_file(PNG + b"1", "1.png")
    agent.send_message("look", [first, PNG + b"2", agent.upload_file(PNG + b"3", "3.png")])
    sizes = [base64.b64decode(each.partition(",")[2])[-1:] for each in attachments(place)]
    assert sizes == [b"1", b"2", b"3"]


def test_a_path_is_uploaded_with_its_name_and_type(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.7 ...")
    client = home().client
    for given in (path, str(path)):
        record = client.files.upload(given)
        assert (record.filename, record.content_type, record.size) == ("report.pdf", "application/pdf", 12)
        assert client.files.get(record.id).uri == record.uri


def test_upload_options_are_kept(home: Home) -> None:
    record = home().client.upload_file(
        b"a,b\n", UploadFileOptions(filename="t.csv", content_type="text/csv", path="in/t.csv")
    )
    assert (record.filename, record.content_type, record.path) == ("t.csv", "text/csv", "in/t.csv")


def test_a_deleted_file_is_gone(home: Home) -> None:
    client = home().client
    record = client.files.upload(b"bytes")
    client.files.delete(record.id)
    with pytest.raises(NotFoundError):
        client.files.get(record.id)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("no such file.txt", "no file that exists"),
        ("data:image/png;base64", "no comma"),
        ("data:image/png;base64,*", "its data is not"),
        (12, "not int"),
    ],
)
def test_what_is_no_file_is_refused_with_the_way_out(home: Home, given: Any, says: str) -> None:
    place = home()
    with pytest.raises(UsageError, match=says):
        place.client.files.upload(given)
    with pytest.raises(UsageError):
        place.agent().run("look", [given])
    assert place.model.requests == []


# -- stored agents and context -------------------------------------------------------------------------------------


def test_an_agent_is_stored_found_listed_versioned_and_deleted(home: Home) -> None:
    place = home("Hello.", "Hello again.")
    client = place.client
    adder = tool("add").describe("Adds").param("a", string("a")).handler(lambda args: 1)
    record = client.agents.store({**AGENT, "tools": [adder]}, name="adder", namespace="acme")
    assert client.agents.get(record.id).id == client.agents.get("acme/adder").id == record.id
    assert record.id in [each.id for each in client.agents.list().items]
    again = client.agents.store({**AGENT, "system_prompt": "Be brief."}, name="adder", agent_id=record.id)
    assert again.id == record.id
    assert again.version_id != record.version_id
    assert play(client.agent("acme/adder")).result.text == "Hello."
    client.agents.delete(record.id)
    with pytest.raises(NotFoundError):
        client.agents.get(record.id)


def test_an_unknown_agent_is_not_found(home: Home) -> None:
    with pytest.raises(NotFoundError, match="acme/nobody"):
        home().client.agent("acme/nobody").run("go")


def test_context_variables_are_fixed_when_the_chat_begins(home: Home) -> None:
    place = home("Hello.")
    agent = place.client.agent(AGENT, {"customer": "Ann"})
    agent.run("go")
    assert agent.get_chat().context == {"customer": "Ann"}


def test_what_is_no_agent_is_refused(home: Home) -> None:
    client = home().client
    with pytest.raises(UsageError, match="namespace/name"):
        client.agent(42)
    with pytest.raises(UsageError):
        client.agent("not a reference")


# -- settings ------------------------------------------------------------------------------------------------------


def test_settings_come_from_arguments_then_from_the_environment() -> None:
    environ = {"INFERENCE_API_KEY": "inf_env", "AGENTKIT_BASE_URL": "http://example.invalid/"}
    config = configure(environ=environ)
    assert (config.api_key, config.base_url) == ("inf_env", "http://example.invalid")
    config = configure("inf_arg", "https://other.invalid", environ=environ, poll_interval_ms=500, timeout_seconds=3)
    assert (config.api_key, config.base_url) == ("inf_arg", "https://other.invalid")
    assert (config.poll_seconds, config.timeout_seconds) == (0.5, 3)


def test_the_hosted_platform_needs_a_key_and_this_machine_does_not() -> None:
    with pytest.raises(ConfigError, match="INFERENCE_API_KEY"):
        configure(environ={})
    assert configure(base_url="http://127.0.0.1:8787", environ={}).api_key is None


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8787",
        "ftp://example.invalid",
        "http://",
        "http://example.invalid/?a=b",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://[::1",
    ],
)
def test_a_base_url_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        inference(api_key="inf_x", base_url=url)


def test_a_base_url_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError, match="api_key") as refused:
        inference(base_url="http://user:s3cret@127.0.0.1:8787")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("key", ["inf_x ", "inf_\n", "inf_ü", "inf x\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigError, match="api_key") as refused:
        inference(api_key=key)
    assert key not in str(refused.value)


def test_only_our_own_platform_is_sent_a_message_twice() -> None:
    assert configure("inf_x", environ={}).honours_keys is False
    assert configure("inf_x", "https://api.inference.sh", environ={}).honours_keys is False
    assert configure(base_url="http://127.0.0.1:1", environ={}).honours_keys is True
