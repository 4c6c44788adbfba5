"""Skills: offered by name, loaded on demand, preloaded into the prompt, fetched from where they are."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Generator
from typing import Any

import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.faults import Fault
from agentkit.runtime.open import open_platform
from agentkit.testing import call
from tests.runtime.playing import Play, invocations, playing

TEA = {"name": "tea", "description": "How to\n make tea", "content": "Boil water.", "files": {"a/b.md": "80 degrees"}}
FRONT = "---\nname: tea\ndescription: From the front matter\n---\nBoil water."


class _Page(http.server.BaseHTTPRequestHandler):
    """GET: the page of that path."""

    server: _Pages

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body = self.server.pages.get(self.path.partition("?")[0], (404, b"nothing here"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Pages(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.pages: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@pytest.fixture
def pages() -> Generator[_Pages]:
    server = _Pages()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


async def got(play: Play) -> tuple[str, str]:
    """Status and result of the one call."""
    await play.say()
    (made,) = invocations(await play.idle())
    assert made["type"] == "internal"
    return made["status"], made["result"]


async def refused(**config: Any) -> Fault:
    async with playing("never", **config) as play:
        with pytest.raises(Fault) as fault:
            await play.say()
        return fault.value


# -- with content ----------------------------------------------------------------------------------------------------


async def test_the_prompt_lists_skills_and_the_model_loads_one() -> None:
    async with playing(call("skill_get", {"name": "tea"}), "ok", skills=[TEA], system_prompt="Be kind.") as play:
        status, result = await got(play)
        assert status == "completed"
        assert result.startswith("Boil water.\n\nFiles of this skill") and result.endswith("- a/b.md")
        prompt = play.model.requests[0].system_prompt
        assert prompt.startswith("Be kind.\n\n# Skills\n") and prompt.endswith("\n- tea: How to make tea")
        assert "Boil" not in prompt
        assert "skill_get" in [tool.name for tool in play.model.requests[0].tools]


@pytest.mark.parametrize(
    ("arguments", "status", "result"),
    [
        pytest.param({"name": "tea", "path": "a/b.md"}, "completed", "80 degrees", id="file"),
        pytest.param({"name": "tea", "path": "./a/b.md"}, "completed", "80 degrees", id="dot"),
        pytest.param(
            {"name": "tea", "path": "../x"}, "failed", "skill 'tea' has no file '../x'; files: a/b.md", id="no-file"
        ),
        pytest.param({"name": "soup"}, "failed", "there is no skill 'soup'; skills: tea", id="no-skill"),
    ],
)
async def test_names_and_paths(arguments: dict[str, Any], status: str, result: str) -> None:
    async with playing(call("skill_get", arguments), "ok", skills=[TEA]) as play:
        assert await got(play) == (status, result)


async def test_content_may_be_a_whole_skill_file() -> None:
    skills = [{"name": "tea", "content": FRONT}]
    async with playing(call("skill_get", {"name": "tea"}), "ok", skills=skills) as play:
        assert await got(play) == ("completed", "Boil water.")
        assert play.model.requests[0].system_prompt.endswith("- tea: From the front matter")


async def test_a_preloaded_skill_is_in_the_prompt_at_once() -> None:
    skills = [{"name": "tea", "content": FRONT, "preload": True}]
    async with playing("ok", skills=skills) as play:
        await play.say()
        await play.idle()
        assert play.model.requests[0].system_prompt == "# Skill: tea\n\nBoil water."


async def test_without_skills_or_switched_off_it_is_not_offered() -> None:
    for config in ({}, {"skills": [TEA], "internal_tools": {"skills": False}}):
        async with playing("ok", **config) as play:
            await play.say()
            await play.idle()
            assert "skill_get" not in [tool.name for tool in play.model.requests[0].tools]
            assert play.model.requests[0].system_prompt == ""


async def test_a_long_one_is_read_page_by_page_like_any_result() -> None:
    skills = [{"name": "tea", "content": "x" * 60_000}]
    async with playing(call("skill_get", {"name": "tea"}), "ok", skills=skills) as play:
        _, result = await got(play)
        assert "characters 0 to 50000 of 60000; read on with read_result" in result


@pytest.mark.parametrize(
    ("skill", "code", "why"),
    [
        pytest.param({"name": "s", "skill_id": "k1"}, "not_configured", "no store of skills", id="skill-id"),
        pytest.param({"name": "s"}, "validation_error", "neither `content` nor `url`", id="nothing"),
        pytest.param({"name": " ", "content": "x"}, "validation_error", "a name has 1 to 64", id="no-name"),
        pytest.param({"name": "s", "url": "file:///etc/passwd"}, "validation_error", "https://", id="scheme"),
        pytest.param({"name": "s", "url": "https://u:p@a.example/"}, "validation_error", "password", id="password"),
        pytest.param({"name": "s", "url": "http://[::1"}, "validation_error", "https://", id="no-url"),
        pytest.param(
            {"name": "s", "content": "---\nname: s\ndescription: a: b\n---\nx"}, "validation_error", "SKILL.md:3:",
            id="front-matter",
        ),
    ],
)  # fmt: skip
async def test_a_skill_that_could_not_be_read_is_refused_with_the_message(
    skill: dict[str, Any], code: str, why: str
) -> None:
    fault = await refused(skills=[skill])
    assert fault.code == code and why in fault.detail


async def test_two_skills_of_one_name_are_refused() -> None:
    assert (await refused(skills=[TEA, TEA])).code == "invalid_request"


async def test_an_agent_given_in_code_with_bad_front_matter_is_a_definition_error_at_start() -> None:
    bad = {"name": "s", "content": "---\nname: s\ndescription: [a]\n---\nx"}
    platform = open_platform(
        environ={}, agents={"me/helper": {"core_app": {"ref": "offline/extract"}, "skills": [bad]}}
    )
    with pytest.raises(ConfigError, match=r"agent 'me/helper': skill 's': SKILL\.md:3: description"):
        async with platform:
            pass


# -- behind a URL ----------------------------------------------------------------------------------------------------


async def test_a_url_is_fetched_when_the_skill_is_asked_for(pages: _Pages) -> None:
    pages.pages["/tea"] = (200, FRONT.encode())
    skills = [{"name": "tea", "description": "d", "url": pages.url("/tea")}]
    steps = ["hi", call("skill_get", {"name": "tea"}), "ok"]
    async with playing(*steps, skills=skills, allow_hosts=[pages.host]) as play:
        await play.say()
        await play.idle()
        assert pages.asked == []
        assert await got(play) == ("completed", "Boil water.")
        assert pages.asked == ["/tea"]


async def test_a_preloaded_url_is_fetched_with_the_message(pages: _Pages) -> None:
    pages.pages["/tea"] = (200, FRONT.encode())
    skills = [{"name": "tea", "url": pages.url("/tea"), "preload": True}]
    async with playing("ok", skills=skills, allow_hosts=[pages.host]) as play:
        await play.say()
        await play.idle()
        assert play.model.requests[0].system_prompt == "# Skill: tea\n\nBoil water."


async def test_a_preloaded_url_that_does_not_answer_refuses_the_message(pages: _Pages) -> None:
    skills = [{"name": "tea", "url": pages.url("/none?key=sk-secret"), "preload": True}]
    fault = await refused(skills=skills, allow_hosts=[pages.host])
    assert (fault.code, fault.detail) == ("unavailable", f"skill 'tea': {pages.url('/none')}: status 404")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param((404, b""), "status 404", id="missing"),
        pytest.param((200, b"\xff\xfe"), "no text in UTF-8", id="bytes"),
        pytest.param((200, b"---\nname: s\n---\nx"), "description: a skill needs a description", id="front-matter"),
        pytest.param((200, b"x" * 1_000_001), "1,000,000", id="large"),
    ],
)
async def test_what_is_no_skill_is_told_to_the_model(pages: _Pages, body: tuple[int, bytes], why: str) -> None:
    pages.pages["/tea"] = body
    skills = [{"name": "tea", "url": pages.url("/tea?key=sk-secret")}]
    async with playing(call("skill_get", {"name": "tea"}), "ok", skills=skills, allow_hosts=[pages.host]) as play:
        status, result = await got(play)
        assert status == "failed" and why in result and "sk-secret" not in result


async def test_a_private_address_is_not_reached(pages: _Pages) -> None:
    pages.pages["/tea"] = (200, b"inside")
    skills = [{"name": "tea", "url": pages.url("/tea")}]
    async with playing(call("skill_get", {"name": "tea"}), "ok", skills=skills) as play:
        status, result = await got(play)
        assert status == "failed" and "allow_hosts" in result
        assert pages.asked == []
