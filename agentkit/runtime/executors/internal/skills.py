"""`skill_get`: loads the instructions of a skill, or a file that came with it (protocol.md 6.6, 6.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentkit.runtime import skills
from agentkit.runtime.executors import Execution, Gone, Produced, ToolDesk, ToolFailure
from agentkit.runtime.executors.internal import Category, InternalTool, Means, is_on
from agentkit.runtime.records import ChatRecord
from agentkit.wire import AgentConfig, SkillConfig

if TYPE_CHECKING:  # rows of a chat and internal tools name each other
    from agentkit.runtime.work import Work

__all__ = ["CATEGORY", "prompt"]


def prompt(agent: AgentConfig) -> str:
    """What the agent's system prompt says of its skills; "" without any."""
    return skills.prompt(agent, is_offered=is_on(agent, CATEGORY))


async def _get(call: Execution, desk: ToolDesk, means: Means) -> Produced:
    """The instructions or the file. Raises ToolFailure for names that are none, and for a URL that does not answer."""
    chat = await means.store.read(lambda tx: tx.get(ChatRecord, call.chat_id))
    if chat is None:
        raise Gone
    name, path = str(call.arguments["name"]), call.arguments.get("path")
    skill = skills.by_name(chat.agent, name)
    if skill is None:
        known = ", ".join(each.name for each in chat.agent.skills or ())
        raise ToolFailure(f"there is no skill {name!r}; skills: {known}", had_effect=False)
    if path:
        return Produced(_file(skill, str(path)))
    content = skills.content_of(skill)
    if content is None:
        content = await means.skills.fetch(skill)
    return Produced(f"{content}{_index(skill)}")


def _file(skill: SkillConfig, path: str) -> str:
    files = skill.files or {}
    found = files.get(path.removeprefix("./"))
    if found is None:
        known = ", ".join(files) or "none"
        raise ToolFailure(f"skill {skill.name!r} has no file {path!r}; files: {known}", had_effect=False)
    return found


def _index(skill: SkillConfig) -> str:
    if not skill.files:
        return ""
    lines = "\n".join(f"- {path}" for path in skill.files)
    return f'\n\nFiles of this skill, read one with skill_get(name="{skill.name}", path=...):\n{lines}'


def _has_skills(work: Work) -> bool:
    return bool(work.chat.agent.skills)


_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "The skill"},
        "path": {"type": "string", "description": "A file of the skill; left out: its instructions"},
    },
    "required": ["name"],
}

CATEGORY = Category(
    id="skills",
    description="Lets the agent load the instructions of its skills on demand.",
    default_enabled=True,
    is_needed=_has_skills,
    tools=(
        InternalTool(
            "skill_get",
            "Load the instructions of a skill, or a file that came with it.",
            _PARAMETERS,
            execute=_get,
        ),
    ),
)
