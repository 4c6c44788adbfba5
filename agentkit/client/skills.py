"""Skills from folders: a `SKILL.md` each, and the text files beside it that it refers to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from agentkit.errors import ConfigError
from agentkit.tools.skills import parse_skill

__all__ = ["skills_from"]

FILE: Final = "SKILL.md"
MOST_FILES: Final = 200  # beside one SKILL.md
MOST_CHARS: Final = 1_000_000  # of one skill, all files together: they travel with the agent's definition


def skills_from(folder: str | Path) -> list[dict[str, Any]]:
    """The skills in a folder, for the `skills` of an agent: the folder itself, or each folder in it with a SKILL.md.

    Text files beside a SKILL.md come along, for `skill_get(name, path)`; others, hidden ones and links to elsewhere
    stay. Raises ConfigError with file and line for front matter that is wrong, and where there is no skill.

        agent = client.agent({"core_app": {"ref": "openai/gpt-5-mini"}, "skills": skills_from("skills")})
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{str(folder)!r} is no folder; skills are folders with a {FILE}")
    found = [root] if (root / FILE).is_file() else [each for each in sorted(root.iterdir()) if (each / FILE).is_file()]
    if not found:
        raise ConfigError(f"no {FILE} in {str(folder)!r}, nor in a folder in it")
    skills: dict[str, tuple[Path, dict[str, Any]]] = {}
    for each in found:
        skill = _skill(each)
        if (twin := skills.get(skill["name"])) is not None:
            raise ConfigError(f"{each / FILE}: the name {skill['name']!r} is that of {twin[0] / FILE} too; change one")
        skills[skill["name"]] = (each, skill)
    return [skill for _, skill in skills.values()]


# -- parts ---------------------------------------------------------------------------------------------------------


def _skill(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    text = _text(path)
    if text is None:
        raise ConfigError(f"{path}: this is no text in UTF-8")
    skill = parse_skill(text, path=str(path))
    files = dict(_files(folder))
    chars = len(skill.content) + sum(map(len, files.values()))
    if len(files) > MOST_FILES or chars > MOST_CHARS:
        most = f"{MOST_FILES} and {MOST_CHARS:,} at most"
        raise ConfigError(f"{path}: the skill has {len(files)} files and {chars:,} characters; {most}")
    described = {"name": skill.name, "description": skill.description, "content": skill.content}
    return {**described, "files": files} if files else described


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Path in the skill, with `/`, and text of every file beside the SKILL.md, in order."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "__pycache__")))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or path == folder / FILE or not path.resolve().is_relative_to(folder.resolve()):
                continue
            if path.is_file() and path.stat().st_size <= 4 * MOST_CHARS and (text := _text(path)) is not None:
                yield path.relative_to(folder).as_posix(), text


def _text(path: Path) -> str | None:
    """The file's text; None where it is none."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n")
