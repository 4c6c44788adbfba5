"""What a person reads of a question is all that there is: nothing is obeyed, hidden, or pushed out of sight."""

from __future__ import annotations

import json
import random
import sys
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest

from agentkit.cli.edits import diff
from agentkit.cli.exits import text_of
from agentkit.cli.question import argument_line, duration, name_of, outcome, told, value_lines
from agentkit.cli.visible import folded, is_plain, visible, visible_json, width_of, wrapped
from agentkit.errors import ConflictError
from agentkit.wire import Interrupt

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TRICKS = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "c1": "\x9b31m",
    "erase": "pay 9\b\b\b1\r",
    "override": "invoice\u202efdp.exe",
    "isolate": "a\u2066b\u2069",
    "mark": "a\u200eb\u200f",
    "zero-width": "pay\u200bpal\u200d\ufeff",
    "tags": "hello\U000e0041\U000e0042",
    "selectors": "x\ufe0f\U000e0100",
    "blank": "\u3164\u2800\uffa0",
    "separators": "a\u2028b\u2029c",
    "surrogate": "a\ud800b",
    "private": "\ue000",
    "soft-hyphen": "pass\u00adword",
}
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


def is_safe(text: str) -> bool:
    return all(each == "\n" or unicodedata.category(each) not in _UNSEEN for each in text)


def lines(found: Any) -> str:
    return "\n".join("".join(text for text, _ in line) for line in found)


def asking(arguments: dict[str, Any], **more: Any) -> Interrupt:
    meta = {"tool_name": "pay", "arguments": arguments, **more.pop("meta", {})}
    return Interrupt.parse({"id": "a" * 26, "status": "pending", "reason": "tool_approval", "meta": meta, **more})


@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_that_a_terminal_obeys_or_hides_is_shown_as_it_is(trick: str) -> None:
    text = TRICKS[trick]
    assert not is_plain(text)
    assert is_safe(visible(text)) and visible(text) != text
    question = asking({text: text, "deep": {"list": [text, {"x": text}]}, "long": f"a\n{text}\nb"})
    told_of = question.model_copy(
        update={"note": text, "resolved_by": text, "resolved_as": text, "status": "resolved", "approvers": [text]}
    )
    written = "\n".join(
        (
            lines(told(told_of, now=NOW, width=60)),
            argument_line(question),
            outcome(told_of),
            name_of(asking({}, meta={"tool_name": text})),
            visible_json({text: [text]}, indent=2),
            lines(diff({"a": text}, {"a": text + "!", text: 1})),
            text_of(ConflictError(409, text)),
        )
    )
    assert is_safe(written)
    assert "not what they seem" in written


def test_an_ordinary_text_of_any_language_is_left_alone() -> None:
    text = "Zürich – 東京, naïve café, 100 €, שלום, emoji 🙂"
    assert visible(text) == text and is_plain(f"{text}\n\tand a tab")
    assert "not what they seem" not in lines(told(asking({"a": text}), now=NOW, width=80))


def test_json_for_an_editor_means_the_same_and_hides_nothing() -> None:
    value = {"".join(TRICKS.values()).replace("\ud800", ""): ["a\nb", {"x": "\u202e\U000e0041"}]}
    written = visible_json(value, indent=2)
    assert is_safe(written) and json.loads(written) == value


def test_random_texts_are_never_obeyed_and_never_wider_than_the_terminal() -> None:
    seed = random.randrange(sys.maxsize)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        text = "".join(chr(chance.randrange(0x110000)) for _ in range(chance.randrange(80)))
        assert is_safe(visible(text, keep="\n"))
        broken = list(wrapped(text, 20))
        assert "".join(broken) == visible(text, keep="\n").replace("\n", "")
        assert all(width_of(line) <= 20 for line in broken)
        assert width_of(folded(text, width=10)) <= 10


# -- arguments -------------------------------------------------------------------------------------------------------


def test_arguments_are_one_on_each_line_with_their_types() -> None:
    arguments = {
        "amount": 12.5, "to": {"name": "Ada", "tags": ["a", "b"]}, "urgent": True, "note": None, "empty": {},
        "none": [], "odd key:": "", "n": 3,
    }  # fmt: skip
    assert lines(value_lines(arguments, width=60)).splitlines() == [
        "amount (number): 12.5",
        "to (object):",
        "  name (text): Ada",
        "  tags (list of 2):",
        "    1 (text): a",
        "    2 (text): b",
        "urgent (yes or no): true",
        "note (null): null",
        "empty (object): {}",
        "none (list of 0): []",
        '"odd key:" (text): ',
        "n (number): 3",
    ]


def test_a_long_text_is_marked_so_that_it_passes_for_nothing_else() -> None:
    body = "Dear Ada,\namount (number): 1\n" + "x" * 30
    shown = lines(value_lines({"body": body}, width=24)).splitlines()
    assert shown[0] == "body (text, 3 lines):"
    assert all(line.startswith("  │ ") for line in shown[1:])
    assert "  │ amount (number): 1" in shown and max(map(len, shown[1:])) <= 24


def test_what_is_far_below_is_not_out_of_sight() -> None:
    shown = lines(value_lines({"cmd": "ls" + "\n" * 500 + "rm -rf /"}, width=60)).splitlines()
    assert shown[1:] == ["  │ ls", "  │ (499 empty lines)", "  │ rm -rf /"]


def test_a_cut_at_a_prompt_says_so() -> None:
    question = asking({"body": "\n".join(f"line {n}" for n in range(1, 101))})
    cut = lines(told(question, now=NOW, width=60, is_whole=False))
    assert "line 60" in cut and "line 61" not in cut and "40 more lines" in cut
    assert "line 100" in lines(told(question, now=NOW, width=60))


# -- the question ----------------------------------------------------------------------------------------------------


def test_everything_that_is_known_of_a_question_is_told() -> None:
    question = asking(
        {"amount": 90},
        created_at="2026-01-31T09:55:00Z",
        expires_at="2026-01-31T12:30:00Z",
        escalate_at="2026-01-31T13:00:00Z",
        approvers=["finance", "board"],
        reminders=2,
        chat_path=["top", "below"],
        context={
            "agent_name": "clerk", "tool_type": "http", "description": "Pays a bill.", "target": "POST https://bank.example",
            "messages": [{"role": "user", "text": "pay the bill"}],
        },
    )  # fmt: skip
    shown = lines(told(question, now=NOW, width=80))
    for part in (
        "pay   aaaa", "http tool; Pays a bill.", "POST https://bank.example", "clerk", "top › below",
        "2 h ago, reminded 2 times", "members of finance, board", "in 30 min (2026-01-31 12:30:00 UTC)",
        "escalates  in 1 h", "amount (number): 90", "user", "│ pay the bill",
    ):  # fmt: skip
        assert part in shown, part


def test_a_call_that_may_have_run_is_told_apart() -> None:
    question = asking({"amount": 1}, meta={"unknown_outcome": True, "why": "the process that ran it is gone"})
    shown = lines(told(question, now=NOW, width=80)).splitlines()
    assert shown[1:3] == ["This call may have run already.", "the process that ran it is gone"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"decision": "approved", "resolved_by": "ann", "note": "fine"},
         "approved by ann at 2026-01-31 11:00:00 UTC (fine)"),
        ({"decision": "edited", "resolved_by": "ops", "resolved_as": "ann"},
         "approved with other arguments by ann (key: ops) at 2026-01-31 11:00:00 UTC"),
        ({"decision": "rejected", "resolved_by": "ann"}, "rejected by ann at 2026-01-31 11:00:00 UTC"),
        ({"decision": "responded", "resolved_as": "ann"}, "answered by ann at 2026-01-31 11:00:00 UTC"),
        ({"decision": "expired", "resolved_by": "expiry"}, "expired, and so denied at 2026-01-31 11:00:00 UTC"),
        ({"resolution": "allow", "resolved_by": "ann"}, "approved by ann at 2026-01-31 11:00:00 UTC"),
        ({"status": "cancelled"}, "withdrawn at 2026-01-31 11:00:00 UTC"),
        ({"status": "pending"}, "nobody has answered yet"),
    ],
    ids=["approved", "edited", "rejected", "responded", "expired", "official", "cancelled", "pending"],
)  # fmt: skip
def test_how_it_was_answered(fields: dict[str, Any], said: str) -> None:
    resolved = {"status": "resolved", "resolved_at": "2026-01-31T11:00:00Z", **fields}
    assert outcome(asking({}).model_copy(update=resolved)) == said


def test_times_are_told_in_their_largest_unit() -> None:
    assert [duration(each) for each in (0, 59, 60, 3600, 86_400, 10 * 86_400)] == [
        "0 s", "59 s", "1 min", "1 h", "1 d", "10 d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"x": {"z": 1}, "  y": 1}, {"x": {"z": 1, "y": 1}}),
        ({"x:\n  y": 1}, {"x:": {"y": 1}}),
        ({"x": "a\nb"}, {"x": {"│ a": 1}}),
        ({"a": 1}, {'"a"': 1}),
    ],
    ids=["indent", "newline", "text", "quotes"],
)
def test_arguments_that_differ_have_a_difference_whatever_their_names_are(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert diff(before, after) and diff(after, before)
