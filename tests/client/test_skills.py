"""Skills from folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit import Runtime, skills_from
from agentkit.errors import ConfigError
from agentkit.testing import Scripted, call

TEA = "---\nname: tea\ndescription: How to make tea\n---\nBoil water.\n"


def write(root: Path, **files: str | bytes) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_a_folder_is_a_skill_or_holds_some(tmp_path: Path) -> None:
    write(tmp_path, **{"tea/SKILL.md": TEA, "soup/SKILL.md": TEA.replace("tea", "soup"), "notes/x.md": "x"})
    tea = {"name": "tea", "description": "How to make tea", "content": "Boil water."}
    assert skills_from(tmp_path / "tea") == [tea]
    assert [each["name"] for each in skills_from(tmp_path)] == ["soup", "tea"]


def test_text_files_come_along_and_others_stay(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", **{"secret.txt": "s"})
    folder = write(
        tmp_path / "tea",
        **{
            "SKILL.md": TEA, "kinds/green.md": "80 °C\r\n", "brew.py": "print(1)", "cup.png": b"\x89PNG\xff\x00",
            "nul.txt": b"a\0b", ".git/config": "x", ".env": "KEY=1", "__pycache__/a.pyc": "x",
        },
    )  # fmt: skip
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    (skill,) = skills_from(folder)
    assert skill["files"] == {"brew.py": "print(1)", "kinds/green.md": "80 °C\n"}


def test_front_matter_that_is_wrong_is_a_definition_error_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, **{"tea/SKILL.md": TEA.replace("How to make tea", "Use when: asked")})
    with pytest.raises(ConfigError) as refused:
        skills_from(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'tea' / 'SKILL.md'}:3: description: ")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        pytest.param({"readme.md": "x"}, "no SKILL.md in", id="none"),
        pytest.param({"a/SKILL.md": TEA, "b/SKILL.md": TEA}, "the name 'tea' is that of", id="twins"),
        pytest.param({"SKILL.md": b"\xff\xfe"}, "no text in UTF-8", id="bytes"),
        pytest.param({"SKILL.md": TEA, "big.txt": "x" * 1_000_001}, "1,000,000 at most", id="large"),
        pytest.param({"SKILL.md": TEA, **{f"{n}.txt": "x" for n in range(201)}}, "has 201 files", id="many"),
    ],
)
def test_what_is_no_set_of_skills_is_refused(tmp_path: Path, files: dict[str, str | bytes], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        skills_from(write(tmp_path, **files))
    assert why in str(refused.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        skills_from(tmp_path / "nowhere")


def test_an_agent_loads_what_came_from_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "tea", **{"SKILL.md": TEA, "kinds/green.md": "80 degrees"})
    script = Scripted(
        [call("skill_get", {"name": "tea"}), call("skill_get", {"name": "tea", "path": "kinds/green.md"}), "enjoy"]
    )
    with Runtime(models={"scripted": script}) as runtime:
        agent = runtime.client().agent({"core_app": "scripted/any", "skills": skills_from(tmp_path)})
        assert agent.stream("Tea, please").text() == "enjoy"
    assert "- tea: How to make tea" in script.requests[0].system_prompt
    assert script.requests[1].messages[-1].text.startswith("Boil water.")
    assert "- kinds/green.md" in script.requests[1].messages[-1].text
    assert script.requests[2].messages[-1].text == "80 degrees"
