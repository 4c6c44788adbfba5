"""Attributes, mapping reads, open enums and unknown fields: what every model has."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from agentkit.wire import (
    AgentRun,
    AgentRunState,
    Chat,
    ChatMessage,
    ChatStatus,
    FileRecord,
    FileRef,
    Interrupt,
    PartialFile,
    RunAgentReply,
    StreamEvent,
    Visibility,
    Wire,
)


def test_an_unknown_field_reads_by_attribute_and_by_name_and_is_written_back() -> None:
    ref = FileRef.parse({"uri": "inf://files/f1/a", "checksum": {"sha256": "00"}})
    assert ref["checksum"] == {"sha256": "00"}
    assert ref.checksum == {"sha256": "00"}  # type: ignore[attr-defined]  # unknown to the model on purpose
    assert ref.to_wire() == {"uri": "inf://files/f1/a", "checksum": {"sha256": "00"}}


def test_reading_a_name_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="colour"):
        FileRef.parse({})["colour"]


def test_get_gives_the_default_for_what_is_absent_and_for_what_is_null() -> None:
    ref = FileRef.parse({"size": None, "uri": "u"})
    assert (ref.get("size"), ref.get("size", 0), ref.get("colour", "red"), ref.get("uri", "-")) == (None, 0, "red", "u")


def test_in_tells_known_and_received_names_from_others() -> None:
    ref = FileRef.parse({"new": 1})
    assert ("uri" in ref, "new" in ref, "colour" in ref, 3 in ref) == (True, True, False, False)


def test_a_model_becomes_a_dict_with_its_unknown_fields_last() -> None:
    ref = FileRef.parse({"new": 1, "uri": "u"})
    assert dict(ref.items()) == {"id": None, "uri": "u", "filename": "", "content_type": "", "size": None, "new": 1}
    assert list(ref.keys())[-1] == "new"
    assert list(ref.values())[-1] == 1
    assert {**ref} == dict(ref.items())


def test_unknown_fields_named_like_methods_do_not_break_the_object() -> None:
    ref = FileRef.parse({"items": [1], "get": "x", "keys": None})
    assert (ref["items"], ref.get("get"), ref.get("uri", "-")) == ([1], "x", "")
    assert ref.to_wire() == {"items": [1], "get": "x", "keys": None}


def test_a_value_the_enum_lacks_stays_the_text_it_was() -> None:
    chat = Chat.parse({"status": "hibernating", "visibility": "galaxy"})
    assert (chat.status, chat.visibility) == ("hibernating", "galaxy")
    assert chat.to_wire()["status"] == "hibernating"


def test_a_value_the_enum_has_becomes_its_member_and_equals_the_text() -> None:
    chat = Chat.parse({"status": "busy", "visibility": "team"})
    assert chat.status == "busy"
    assert chat.status is ChatStatus.BUSY
    assert chat.visibility is Visibility.TEAM
    assert f"{chat.status}" == "busy"


def test_a_null_where_something_must_be_reads_as_the_empty_thing() -> None:
    message = ChatMessage.parse(
        {"content": None, "tool_invocations": None, "id": None, "order": None, "visibility": None}
    )
    assert (message.content, message.tool_invocations, message.id, message.order) == ([], [], "", 0)
    assert message.visibility is Visibility.PRIVATE


def test_a_value_of_the_wrong_type_is_refused_with_its_place() -> None:
    with pytest.raises(ValidationError, match=r"chat_messages\.0\.order"):
        Chat.parse({"chat_messages": [{"order": "first"}]})


def test_something_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValidationError):
        Chat.parse([])


def test_parsing_a_model_gives_the_model() -> None:
    chat = Chat(id="c1")
    assert Chat.parse(chat) is chat


def test_a_request_writes_only_what_was_set_nulls_included() -> None:
    assert PartialFile(uri="", filename=None, size=3).to_wire() == {"uri": "", "filename": None, "size": 3}


def test_a_resource_writes_all_of_itself_also_inside_an_answer() -> None:
    reply = RunAgentReply(user_message=ChatMessage(id="m1")).to_wire()
    assert reply["assistant_message"] is None
    assert reply["user_message"]["tool_invocations"] == []
    assert reply["user_message"]["deleted_at"] is None


def test_to_json_is_utf8_of_what_to_wire_gives() -> None:
    event = StreamEvent(event="chats", data={"name": "Größe \u2028"})
    assert json.loads(event.to_json()) == event.to_wire() == {"event": "chats", "data": {"name": "Größe \u2028"}}


def test_objects_that_came_as_json_text_are_decoded_and_other_text_stays() -> None:
    assert Interrupt.parse({"meta": '{"tool_name": "pay"}'}).meta == {"tool_name": "pay"}
    assert Interrupt.parse({"meta": {"tool_name": "pay"}}).meta == {"tool_name": "pay"}
    assert Interrupt.parse({"meta": "{broken"}).meta == "{broken"
    assert Interrupt.parse({"meta": "[1]"}).meta == "[1]"
    assert Interrupt.parse({"meta": None}).meta == {}


def test_a_recorded_chat_message_is_read_as_it_came() -> None:
    recorded = {
        "id": "7jnx8hn08m6ysdp04bmp5xex3q",
        "short_id": "7jnx8hn0",
        "created_at": "2026-09-15T17:16:13.489477Z",
        "deleted_at": None,
        "user": None,
        "visibility": "team",
        "chat": None,
        "order": 1,
        "status": "ready",
        "role": "assistant",
        "content": [
            {"type": "text", "error": None, "text": "PTT e2e ok", "image": None, "file": None, "tool_calls": None}
        ],
        "tools": None,
        "tool_call_id": None,
    }
    written = ChatMessage.parse(recorded).to_wire()
    assert {name: written[name] for name in recorded} == recorded


def test_a_run_nested_in_a_chat_keeps_its_state_and_its_unknown_fields() -> None:
    chat = Chat.parse({"active_run": {"id": "r1", "state": "working", "budget": {"tokens": 9}}, "parent": {"id": "c0"}})
    assert isinstance(chat.active_run, AgentRun)
    assert chat.active_run.state is AgentRunState.WORKING
    assert chat.active_run["budget"] == {"tokens": 9}
    assert isinstance(chat.parent, Chat)


def test_defaults_are_not_shared_between_objects() -> None:
    first, second = Chat(id="a"), Chat(id="b")
    first.chat_messages.append(ChatMessage(id="m"))
    first.agent_data.always_allowed_tools.append("pay")
    assert second.chat_messages == []
    assert second.agent_data.always_allowed_tools == []


def test_a_file_record_parses_the_documented_answer() -> None:
    record = FileRecord.parse(
        {
            "id": "65hmp52a",
            "upload_url": "https://storage.example/put/abc?sig=1",
            "uri": "https://cloud.inference.sh/x.png",
            "size": 20480,
            "rating": "unrated",
            "metadata": None,
        }
    )
    assert record["uri"] == "https://cloud.inference.sh/x.png"
    assert record.size == 20480


def test_every_public_model_is_a_wire_with_a_docstring() -> None:
    from agentkit.schemas import models
    from agentkit.wire import WireBase

    found = list(models())
    assert len(found) > 80
    assert all(issubclass(model, WireBase) for model in found)
    assert [model.__name__ for model in found if not model.__doc__ or model.__doc__ == Wire.__doc__] == []
