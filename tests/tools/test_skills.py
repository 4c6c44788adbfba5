"""The text of a SKILL.md: what is read of it, and what is refused, with the line."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agentkit.errors import ConfigError
from agentkit.tools.skills import Skill, has_front_matter, parse_skill


def skill(*lines: str, body: str = "Boil water.") -> Skill:
    return parse_skill("\n".join(["---", *lines, "---", body]))


def described(*lines: str) -> str:
    return skill("name: tea", *lines).description


def test_name_description_and_the_instructions_below() -> None:
    made = skill("name: tea", "description: How to make tea", body="\n# Tea\n\nBoil water.\n\n---\nServe.\n")
    assert made == Skill("tea", "How to make tea", "# Tea\n\nBoil water.\n\n---\nServe.")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        pytest.param(["description: plain # a comment"], "plain", id="comment"),
        pytest.param(["description: C# and a#b"], "C# and a#b", id="hash-in-a-word"),
        pytest.param(["description: https://example.com/a"], "https://example.com/a", id="colon-in-a-word"),
        pytest.param(['description: "Use when: asked \\"nicely\\"" # so'], 'Use when: asked "nicely"', id="double"),
        pytest.param(["description: 'it''s: tea'"], "it's: tea", id="single"),
        pytest.param(["description: first", "  second", "    third"], "first second third", id="goes-on"),
        pytest.param(["description: >", "  one", "  two", "", "  three"], "one two\nthree", id="folded"),
        pytest.param(["description: >-", "  one", "  two"], "one two", id="folded-stripped"),
        pytest.param(["description: |", "  one: a", "    two", "  # three"], "one: a\n  two\n# three", id="literal"),
        pytest.param(["", "# a comment", "description:   spaced   "], "spaced", id="spaces"),
        pytest.param(["description: Tee für zwei 🍵"], "Tee für zwei 🍵", id="any-script"),
    ],
)
def test_texts_are_read_as_yaml_reads_them(lines: list[str], text: str) -> None:
    assert described(*lines) == text


def test_the_rest_is_kept_as_it_is_written() -> None:
    made = skill(
        "name: tea",
        "license: MIT",
        "description: How to make tea",
        "allowed-tools: [kettle, cup]",
        "metadata:",
        "  author: ann",
        "  tags:",
        "    - hot",
        "versions:",
        "- 1",
        "- 2",
    )
    assert made.metadata == {
        "license": "MIT",
        "allowed-tools": "[kettle, cup]",
        "metadata": "  author: ann\n  tags:\n    - hot",
        "versions": "- 1\n- 2",
    }


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        pytest.param(["description: x"], 1, "name: a skill needs a name", id="no-name"),
        pytest.param(["name: tea"], 1, "description: a skill needs a description", id="no-description"),
        pytest.param(["name: tea", "description:"], 3, "a skill needs a description", id="empty"),
        pytest.param(["name: tea", "description: ''"], 3, "a skill needs a description", id="empty-quotes"),
        pytest.param(["name: ../tea", "description: x"], 2, "is no skill name", id="name"),
        pytest.param([f"name: {'a' * 65}", "description: x"], 2, "is no skill name", id="long-name"),
        pytest.param(["name: tea", f"description: {'x' * 1025}"], 3, "1024 at most", id="long-description"),
        pytest.param(["name: tea", "description: Use when: asked"], 3, "in quotes", id="colon"),
        pytest.param(["name: tea", "description: 'open"], 3, "not closed", id="open-quote"),
        pytest.param(["name: tea", 'description: "a" b'], 3, "something follows", id="after-a-quote"),
        pytest.param(["name: tea", "description: [a, b]"], 3, "it is text", id="list"),
        pytest.param(["name: tea", "description:", "  a: b"], 3, "it is text", id="mapping"),
        pytest.param(["name: tea", "description: - a"], 3, "put it in quotes", id="item"),
        pytest.param(["name: tea", "description: > a"], 3, "put it in quotes", id="block-with-text"),
        pytest.param(["name: tea", "description: x", "just words"], 4, "is no `key: value`", id="words"),
        pytest.param(["name: tea", "description: x", "key:value"], 4, "is no `key: value`", id="no-space"),
        pytest.param(["  name: tea"], 2, "indented", id="indented"),
        pytest.param(["\tname: tea"], 2, "tab", id="tab"),
        pytest.param(["name: tea", "description: x", "metadata:", "  a: b", " \tc: d"], 6, "tab", id="tab-below"),
        pytest.param(["name: tea", "name: coffee"], 3, "there twice", id="twice"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(lines: list[str], line: int, why: str) -> None:
    text = "\n".join(["---", *lines, "---", "Boil water."])
    with pytest.raises(ConfigError) as refused:
        parse_skill(text, path="skills/tea/SKILL.md")
    assert str(refused.value).startswith(f"skills/tea/SKILL.md:{line}: ")
    assert why in str(refused.value)


@pytest.mark.parametrize("text", ["", "# Tea", " ---\nname: tea", "----\nname: tea"])
def test_a_text_without_front_matter_is_no_skill(text: str) -> None:
    assert not has_front_matter(text)
    with pytest.raises(ConfigError, match=r"SKILL\.md:1: a skill begins with"):
        parse_skill(text)


def test_front_matter_that_does_not_end_is_told_of_at_its_beginning() -> None:
    with pytest.raises(ConfigError, match=r"SKILL\.md:1: the front matter has no end"):
        parse_skill("---\nname: tea\ndescription: x\n")


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    made = parse_skill("\ufeff---\r\nname: tea\r\ndescription: x\r\n---\r\nBoil.\r\n")
    assert made == Skill("tea", "x", "Boil.")


def test_whatever_it_is_given_it_answers_or_refuses() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    pieces: list[Any] = [
        "---", "name: tea", "description: x", "name:", "a: |", "a: >", "  b", "- c", "'", '"', "\t", ":", ": ", "# d",
        "{", "[", "&a", "*a", "...", "", " ", "\\", '"\\', "é", "\ufeff",
    ]  # fmt: skip
    for _ in range(3000):
        text = "---\n" + "\n".join("".join(rng.choices(pieces, k=rng.randint(1, 3))) for _ in range(rng.randint(0, 8)))
        try:
            made = parse_skill(text)
        except ConfigError as refused:
            assert "SKILL.md:" in str(refused), f"seed {seed}: {text!r}"
        else:
            assert made.name and made.description, f"seed {seed}: {text!r}"
