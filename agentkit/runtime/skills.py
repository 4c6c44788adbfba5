"""An agent's skills: checked, put into the prompt, and fetched where they are a URL (protocol.md 6.6, 8.4)."""

from __future__ import annotations

from typing import Final

import httpx

from agentkit.errors import ConfigError
from agentkit.runtime.executors import ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.outbound.egress import Guard, Refused
from agentkit.runtime.outbound.fetching import Fetcher, Outgoing, Oversized, Unreadable, reason, shown
from agentkit.tools.skills import has_front_matter, parse_skill
from agentkit.wire import AgentConfig, SkillConfig

__all__ = ["SkillSource", "by_name", "check", "content_of", "prompt"]

MAX_BYTES: Final = 1_000_000  # of a skill that is a URL
FETCH_SECONDS: Final = 20.0  # of silence
LONGEST_NAME: Final = 64
HEADING: Final = "# Skills\n\nInstructions for kinds of work. When one fits, load it with skill_get before you begin."


def check(config: AgentConfig) -> None:
    """Refuses skills that could not be read. Raises Fault."""
    names: set[str] = set()
    for skill in config.skills or ():
        if not 0 < len(skill.name.strip()) <= LONGEST_NAME:
            raise Fault(
                "validation_error", f"a skill is called {skill.name!r}; a name has 1 to {LONGEST_NAME} characters"
            )
        if skill.name in names:
            raise Fault("invalid_request", f"two skills are called {skill.name!r}; rename one")
        names.add(skill.name)
        _check_source(skill)


def by_name(agent: AgentConfig, name: str) -> SkillConfig | None:
    """The agent's skill of this name."""
    return next((each for each in agent.skills or () if each.name == name), None)


def content_of(skill: SkillConfig) -> str | None:
    """The instructions, without front matter; None where they are a URL that was not fetched."""
    if not skill.content:
        return None
    return parse_skill(skill.content).content if has_front_matter(skill.content) else skill.content


def prompt(agent: AgentConfig, *, is_offered: bool) -> str:
    """What the system prompt says of the skills: those that can be loaded, where `is_offered`, and the preloaded."""
    parts: list[str] = []
    listed = [each for each in agent.skills or () if not each.preload or each.files]
    if listed and is_offered:
        parts.append("\n".join([HEADING, *(f"- {each.name}: {_description(each)}" for each in listed)]))
    for each in agent.skills or ():
        if each.preload:
            parts.append(f"# Skill: {each.name}\n\n{content_of(each) or _description(each)}")
    return "\n\n".join(parts)


class SkillSource:
    """Fetches skills from where the guard lets it. `aclose` it."""

    def __init__(self, guard: Guard) -> None:
        self._fetcher = Fetcher(guard, max_bytes=MAX_BYTES)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._fetcher.aclose()

    async def preload(self, config: AgentConfig) -> AgentConfig:
        """The agent with the content of every skill that its prompt begins with. Raises Fault `unavailable`."""
        skills: list[SkillConfig] = []
        for skill in config.skills or ():
            if skill.preload and not skill.content and skill.url:
                try:
                    skill = skill.model_copy(update={"content": await self.fetch(skill)})
                except ToolFailure as failure:
                    raise Fault("unavailable", failure.text) from None
            skills.append(skill)
        return config if skills == list(config.skills or ()) else config.model_copy(update={"skills": skills})

    async def fetch(self, skill: SkillConfig) -> str:
        """The instructions behind the skill's URL. Raises ToolFailure."""
        url = httpx.URL(skill.url or "")
        what = f"skill {skill.name!r}: {shown(url)}"
        try:
            answer = await self._fetcher.send(Outgoing("GET", url, read_seconds=FETCH_SECONDS))
        except Refused as refused:
            raise ToolFailure(f"{what}: {refused}", had_effect=False) from None
        except (Oversized, Unreadable) as problem:
            raise ToolFailure(f"{what}: {problem}", had_effect=False) from None
        except httpx.TransportError as error:
            raise ToolFailure(f"{what}: {reason(error)}", is_transient=True, had_effect=False) from None
        if not answer.is_success:
            raise ToolFailure(f"{what}: status {answer.status}", is_transient=answer.status >= 500, had_effect=False)
        try:
            text = answer.content.decode()
            return parse_skill(text, path=shown(url)).content if has_front_matter(text) else text
        except UnicodeDecodeError:
            raise ToolFailure(f"{what}: this is no text in UTF-8", had_effect=False) from None
        except ConfigError as error:
            raise ToolFailure(f"skill {skill.name!r}: {error}", had_effect=False) from None


# -- parts ---------------------------------------------------------------------------------------------------------


def _check_source(skill: SkillConfig) -> None:
    if skill.content:
        try:
            content_of(skill)
        except ConfigError as error:
            raise Fault("validation_error", f"skill {skill.name!r}: {error}") from None
    elif skill.url:
        _check_url(skill)
    elif skill.skill_id:
        raise Fault(
            "not_configured",
            f"skill {skill.name!r} is named by `skill_id`: this runtime has no store of skills; send its `content`, "
            "or a `url` where it can be read",
        )
    else:
        raise Fault("validation_error", f"skill {skill.name!r} has neither `content` nor `url`")


def _check_url(skill: SkillConfig) -> None:
    try:
        url = httpx.URL(skill.url or "")
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise Fault(
            "validation_error", f"skill {skill.name!r}: `url` begins with https:// or http://, and has no password"
        )


def _description(skill: SkillConfig) -> str:
    """One line; that of the front matter where the definition has none."""
    described = skill.description
    if not described and skill.content and has_front_matter(skill.content):
        described = parse_skill(skill.content).description
    return " ".join((described or "(no description)").split())
