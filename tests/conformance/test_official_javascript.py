"""The official JavaScript SDK drives the server under Node: streaming, polling `run`, client tools, stop, files."""

from __future__ import annotations

import pytest

from agentkit.testing import call, finish, hang
from tests.conformance.home import home
from tests.conformance.official import Sdk

STORED = {"acme/helper@abc123": {"core_app": {"ref": "scripted/helper"}, "system_prompt": "Help."}}
WEATHER = """
const tools = [sdk.tool('get_weather').describe('Weather').param('city', sdk.string('City')).build()];
const agent = client.agents.create({ core_app: { ref: 'scripted/helper' }, tools });
const onToolCall = async (call) => {
    tell({ name: call.name, args: call.args });
    await agent.submitToolResult(call.id, '18');
};
"""


@pytest.mark.requirement("js:streams")
def test_three_streamed_turns_of_one_chat_each_end_with_their_own_answer(package: Sdk) -> None:
    program = """
    const agent = client.agents.create('acme/helper@abc123');
    for (const question of ['one?', 'two?', 'three?']) {
        const seen = [];
        const { assistantMessage } = await agent.sendMessage(question, { onMessage: (m) => seen.push(m) });
        const last = seen.filter((m) => m.role === 'assistant').at(-1);
        tell({ chat: agent.currentChatId, text: text(last), mine: last.id === assistantMessage.id });
    }
    agent.disconnect();
    """
    with home("It is one.", "It is two.", "It is three.", agents=STORED) as there:
        turns = package.run(program, url=there.url)
    assert [turn["text"] for turn in turns] == ["It is one.", "It is two.", "It is three."]
    assert len({turn["chat"] for turn in turns}) == 1
    assert all(turn["mine"] for turn in turns)


@pytest.mark.requirement("js:client-tools")
def test_a_client_tool_is_called_once_per_turn_while_streaming(package: Sdk) -> None:
    program = f"""{WEATHER}
for (const city of ['Paris', 'Rome']) {{
    const seen = [];
    await agent.sendMessage(city, {{ onMessage: (m) => seen.push(m), onToolCall }});
    tell({{ text: text(seen.at(-1)) }});
}}
agent.disconnect();
"""
    steps = [
        call("get_weather", {"city": "Paris"}),
        "18 in Paris.",
        call("get_weather", {"city": "Rome"}),
        "18 in Rome.",
    ]
    with home(*steps) as there:
        facts = package.run(program, url=there.url)
    assert facts == [
        {"name": "get_weather", "args": {"city": "Paris"}},
        {"text": "18 in Paris."},
        {"name": "get_weather", "args": {"city": "Rome"}},
        {"text": "18 in Rome."},
    ]


@pytest.mark.requirement("js:run-polls")
def test_run_polls_dispatches_tools_and_returns_its_own_output_each_time(package: Sdk) -> None:
    program = f"""{WEATHER}
for (const city of ['Paris', 'Rome', 'Oslo'])
    tell({{ output: await agent.run(city, {{ onMessage: () => {{}}, onToolCall }}) }});
"""
    steps = [call("get_weather", {"city": "Paris"}), finish("18 in Paris"), finish("Rome is warm"), "Oslo is unknown."]
    tools = {"internal_tools": {"finish": True}}
    with home(*steps) as there:
        facts = package.run(
            program.replace("tools }", f"tools, {str(tools)[1:-1].replace('True', 'true')} }}"), url=there.url
        )
    assert facts == [
        {"name": "get_weather", "args": {"city": "Paris"}},
        {"output": {"result": "18 in Paris"}},
        {"output": {"result": "Rome is warm"}},
        {"output": None},
    ]


@pytest.mark.requirement("js:stop")
def test_stop_chat_ends_the_turn_and_reset_begins_another_chat(package: Sdk) -> None:
    program = """
    const agent = client.agents.create('acme/helper');
    const seen = [];
    await agent.sendMessage('Count.', { onMessage: (m) => {
        seen.push(m);
        if (m.role === 'assistant' && m.status === 'pending' && text(m)) agent.stopChat();
    } });
    const chat = await agent.getChat();
    tell({ last: seen.at(-1).status, text: text(seen.at(-1)), status: chat.status, state: chat.active_run.state });
    const before = agent.currentChatId;
    agent.reset();
    await agent.sendMessage('Anew.', { onMessage: (m) => seen.push(m) });
    tell({ fresh: agent.currentChatId !== before, text: text(seen.at(-1)) });
    agent.disconnect();
    """
    with home(["One, ", hang()], "Anew it is.", agents=STORED) as there:
        stopped, anew = package.run(program, url=there.url)
    assert stopped == {"last": "cancelled", "text": "One, ", "status": "idle", "state": "canceled"}
    assert anew == {"fresh": True, "text": "Anew it is."}


@pytest.mark.requirement("js:files")
def test_blobs_and_uploaded_files_are_attached(package: Sdk) -> None:
    program = """
    const uploaded = await client.files.upload('data:image/png;base64,iVBORw0KGgo=', { filename: 'photo.png' });
    const agent = client.agents.create('acme/helper');
    const files = [new Blob(['plain'], { type: 'text/plain' }), uploaded];
    await agent.sendMessage('Look.', { files, onMessage: () => {} });
    const chat = await agent.getChat();
    const parts = chat.chat_messages[0].content;
    tell({ filename: uploaded.filename, image: parts.find((p) => p.type === 'image')?.image,
           file: parts.find((p) => p.type === 'file')?.file });
    agent.disconnect();
    """
    with home("I see.", agents=STORED) as there:
        (told,) = package.run(program, url=there.url)
        assert there.content(told["image"]) == b"\x89PNG\r\n\x1a\n"
        assert there.content(told["file"]) == b"plain"
    assert told["filename"] == "photo.png"


@pytest.mark.requirement("js:refusals")
def test_refusals_carry_status_and_sentence(package: Sdk) -> None:
    program = """
    const stranger = sdk.inference({ apiKey: 'inf_wrong', baseUrl: process.env.SDK_URL });
    for (const agent of [client.agents.create('acme/nobody'), stranger.agents.create('acme/helper')])
        await agent.sendMessage('hi').catch((e) => tell({ status: e.statusCode, message: e.message }));
    """
    with home("Hello.", agents=STORED) as there:
        unknown, wrong = package.run(program, url=there.url)
    assert unknown["status"] == 404 and "acme/nobody" in unknown["message"]
    assert wrong["status"] == 401 and "key" in wrong["message"]
