"""A question to a person as it is read: what would be done with which arguments, who asks, and how to answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

from agentkit.cli.screen import Screen, is_interactive
from agentkit.cli.visible import folded, is_plain, visible, wrapped
from agentkit.tools.forms import ANSWER, FormField, fields
from agentkit.tools.jsonable import is_array, is_object
from agentkit.wire import Interrupt, InterruptDecision, InterruptReason, InterruptStatus

__all__ = [
    "Line",
    "ago",
    "argument_line",
    "asked",
    "duration",
    "is_form",
    "is_unknown",
    "name_of",
    "outcome",
    "seconds_until",
    "show",
    "told",
    "value_lines",
]

Line: TypeAlias = "tuple[tuple[str, str], ...]"  # pieces of a line: text, and how it looks ("" is plain)

SHORT: Final = 8  # characters of an id that tell it from others
LONGEST: Final = 60  # lines of one text at a prompt
SPACE: Final = 3  # empty lines in a row that are shown
_SECONDS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_WORDS: Final = {
    InterruptDecision.APPROVED: "approved",
    InterruptDecision.EDITED: "approved with other arguments",
    InterruptDecision.REJECTED: "rejected",
    InterruptDecision.RESPONDED: "answered",
    InterruptDecision.EXPIRED: "expired, and so denied",
}


def told(interrupt: Interrupt, *, now: datetime, width: int, is_whole: bool = True) -> Iterator[Line]:
    """Everything that a person needs, line by line. `is_whole` False cuts very long texts and says so."""
    yield _line(name_of(interrupt), "bold", f"   {interrupt.id}", "dim")
    if is_unknown(interrupt):
        yield from _warning("This call may have run already.", _text(interrupt, "why"), width)
    yield from _facts(interrupt, now=now, width=width)
    yield from _arguments(interrupt, width=width, longest=None if is_whole else LONGEST)
    yield from _before(interrupt, width=width)
    if interrupt.status != InterruptStatus.PENDING:
        yield ()
        yield _line(outcome(interrupt), "bold")
        if interrupt.edited_from is not None:
            yield _line("with these arguments instead:", "dim")
            yield from value_lines(interrupt.resolved_data, width=width, indent=2)
        elif interrupt.decision == InterruptDecision.RESPONDED and interrupt.resolved_data is not None:
            yield from value_lines({"answer": interrupt.resolved_data}, width=width)


def show(screen: Screen, lines: Iterable[Line], *, is_error: bool = False) -> None:
    """Writes the lines: with colours at a terminal."""
    stream = sys.stderr if is_error else sys.stdout
    if not is_interactive(stream):
        stream.writelines("".join(text for text, _ in line) + "\n" for line in lines)
        stream.flush()
        return
    from rich.text import Text

    console = screen.error if is_error else screen.out
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)


def value_lines(value: Any, *, width: int, indent: int = 0, longest: int | None = None) -> Iterator[Line]:
    """A value for reading: a member on each line with its type, long texts below, what is inside further in.

    >>> for line in value_lines({"amount": 12.5, "to": {"name": "Ada"}}, width=40):
    ...     print("".join(text for text, _ in line))
    amount (number): 12.5
    to (object):
      name (text): Ada
    """
    members: list[tuple[str, Any]] = []
    if is_object(value):
        members = [(_key(name), each) for name, each in value.items()]
    elif is_array(value):
        members = [(str(place), each) for place, each in enumerate(value, 1)]
    for name, each in members:
        yield from _member(name, each, width=width, indent=indent, longest=longest)


def argument_line(interrupt: Interrupt, *, width: int | None = None) -> str:
    """The arguments, or the question, on one line; the edited ones where they were edited."""
    asked_for = _text(interrupt, "question") or _text(interrupt, "message")
    if asked_for:
        return folded(asked_for, width=width)
    edited = interrupt.resolved_data if interrupt.edited_from is not None else None
    arguments = edited if is_object(edited) else interrupt.arguments
    pieces = (f"{_key(name)}={_short(each)}" for name, each in arguments.items())
    is_doubtful = is_unknown(interrupt) and interrupt.status == InterruptStatus.PENDING
    return folded(" ".join((*(("may have run already:",) if is_doubtful else ()), *pieces)), width=width)


def name_of(interrupt: Interrupt) -> str:
    """What asks: the tool, or why the run waits."""
    return visible(interrupt.tool_name or str(interrupt.reason).replace("_", " "))


def outcome(interrupt: Interrupt) -> str:
    """How the question was answered, by whom, and when: `approved by ann at 2026-01-31 08:00:00 UTC (fine)`."""
    if interrupt.status == InterruptStatus.PENDING:
        return "nobody has answered yet"
    word = _WORDS.get(cast("InterruptDecision", interrupt.decision))
    if word is None:
        word = {"allow": "approved", "deny": "rejected"}.get(str(interrupt.resolution or ""), "withdrawn")
    by = "" if interrupt.decision == InterruptDecision.EXPIRED else _by(interrupt)
    at = f" at {_moment(interrupt.resolved_at)}" if interrupt.resolved_at else ""
    return f"{word}{by}{at}" + (f" ({folded(interrupt.note)})" if interrupt.note else "")


def asked(interrupt: Interrupt) -> tuple[FormField, ...]:
    """The fields of the form that answers the question; none where it is an approval."""
    return fields(interrupt.answer_schema) if interrupt.answer_schema is not None else ()


def is_form(interrupt: Interrupt) -> bool:
    """Whether an answer is more than a yes or a no: a widget, or a value that fits a schema."""
    return interrupt.reason == InterruptReason.WIDGET or interrupt.answer_schema is not None


def is_unknown(interrupt: Interrupt) -> bool:
    """Whether it is about a call that may have run already."""
    return is_object(interrupt.meta) and bool(interrupt.meta.get("unknown_outcome"))


def seconds_until(text: str | None, now: datetime) -> float | None:
    """From now on; less than 0 in the past, None for what is no moment."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()


def ago(text: str | None, now: datetime) -> str:
    """How long ago, in words; "" for what is no moment."""
    seconds = seconds_until(text, now)
    return "" if seconds is None else duration(-seconds)


def duration(seconds: float) -> str:
    """A time in its largest unit: `5 min`.

    >>> duration(7300), duration(0.2), duration(-5)
    ('2 h', '0 s', '0 s')
    """
    whole = int(max(0.0, seconds))
    size, unit = next((each for each in _SECONDS if whole >= each[0]), (1, "s"))
    return f"{whole // size} {unit}"


# -- parts ---------------------------------------------------------------------------------------------------------


def _line(*pieces: str) -> Line:
    """A line of texts and their looks, by turns."""
    return tuple(zip(pieces[::2], pieces[1::2], strict=True))


def _warning(said: str, why: str, width: int) -> Iterator[Line]:
    yield _line(said, "bold yellow")
    for each in wrapped(why, width) if why else ():
        yield _line(each, "yellow")


def _facts(interrupt: Interrupt, *, now: datetime, width: int) -> Iterator[Line]:
    context = interrupt.context
    facts: list[tuple[str, str]] = []
    if context is not None:
        facts += [("tool", _of_tool(interrupt)), ("target", context.target), ("agent", context.agent_name)]
    facts += [
        ("chat", " › ".join(interrupt.chat_path) or interrupt.chat_id),
        ("asked", f"{ago(interrupt.created_at, now)} ago" + _reminded(interrupt)),
        ("answers", _who(interrupt)),
        ("expires", _deadline(interrupt.expires_at, now)),
        ("escalates", "" if interrupt.is_escalated else _deadline(interrupt.escalate_at, now)),
    ]
    for name, text in facts:
        for place, each in enumerate(wrapped(text, width - 11) if text else ()):
            yield _line(f"{name if not place else '':<10} ", "dim", each, "")


def _of_tool(interrupt: Interrupt) -> str:
    context = interrupt.context
    assert context is not None
    kind = f"{context.tool_type} tool" if context.tool_type else ""
    return "; ".join(each for each in (kind, context.description.strip()) if each)


def _reminded(interrupt: Interrupt) -> str:
    times = interrupt.reminders
    return f", reminded {times} time{'' if times == 1 else 's'}" if times else ""


def _who(interrupt: Interrupt) -> str:
    if interrupt.approvers is None:
        return "whoever may approve"
    groups = ", ".join(interrupt.approvers)
    return f"members of {groups}" + (" (escalated)" if interrupt.is_escalated else "")


def _deadline(text: str | None, now: datetime) -> str:
    seconds = seconds_until(text, now)
    if seconds is None:
        return ""
    return f"in {duration(seconds)} ({_moment(text)})" if seconds > 0 else f"now ({_moment(text)})"


def _arguments(interrupt: Interrupt, *, width: int, longest: int | None) -> Iterator[Line]:
    question = _text(interrupt, "question") or _text(interrupt, "message") or _text(interrupt, "explanation")
    if question:
        yield ()
        for each in wrapped(question, width):
            yield _line(each, "bold")
    shown = interrupt.arguments if not question or not is_form(interrupt) else {}
    if shown:
        yield ()
        yield from value_lines(shown, width=width, longest=longest)
    elif not question and not is_form(interrupt):
        yield _line("no arguments", "dim")
    for field in asked(interrupt):
        yield from _field(field, width=width)
    if _has_controls(interrupt.meta):
        yield _line("Some characters are not what they seem: they are written as \\x.. and \\u....", "bold yellow")


def _field(field: FormField, *, width: int) -> Iterator[Line]:
    """What can be filled in, or chosen."""
    if field.name != ANSWER:
        need = "required" if field.is_required else "may be left empty"
        yield _line(f"  {visible(field.label)}", "cyan", f" ({field.kind.value.replace('_', ' ')}, {need})", "dim")
    for each in wrapped(field.description, width - 4) if field.description else ():
        yield _line(f"    {each}", "dim")
    for label, _ in field.options:
        for place, each in enumerate(wrapped(label, width - 6)):
            yield _line(f"    {'·' if not place else ' '} {each}", "")


def _has_controls(value: Any) -> bool:
    if isinstance(value, str):
        return not is_plain(value)
    if is_object(value):
        return any(_has_controls(each) for pair in value.items() for each in pair)
    return is_array(value) and any(_has_controls(each) for each in value)


def _before(interrupt: Interrupt, *, width: int) -> Iterator[Line]:
    """What was said before, each line marked: it is somebody's words."""
    said = interrupt.context.messages if interrupt.context is not None else []
    if not said:
        return
    yield ()
    yield _line("said before", "dim")
    for message in said:
        for place, each in enumerate(wrapped(message.get("text", "").strip(), width - 14)):
            yield _line(f"  {visible(message.get('role', '')) if not place else '':<9} ", "dim", f"│ {each}", "")


def _member(name: str, value: Any, *, width: int, indent: int, longest: int | None) -> Iterator[Line]:
    head = (" " * indent + name, "cyan"), (f" ({_type(value)})", "dim")
    match value:
        case dict() | list() if value:
            yield (*head, (":", ""))
            yield from value_lines(cast("Any", value), width=width, indent=indent + 2, longest=longest)
        case str() if "\n" in value or sum(len(text) for text, _ in head) + len(visible(value)) + 2 > width:
            yield (*head, (":", ""))
            yield from _block(value, width=width, indent=indent + 2, longest=longest)
        case _:
            yield (*head, (f": {visible(value) if isinstance(value, str) else folded(value)}", ""))


def _block(text: str, *, width: int, indent: int, longest: int | None) -> Iterator[Line]:
    """A long text, its lines marked, so that none of it passes for something else."""
    lines = list(_without_space(wrapped(text, width - indent - 2)))
    left = len(lines) - (longest or len(lines))
    for each in lines[: longest or None]:
        yield _line(f"{' ' * indent}│ ", "dim", each, "")
    if left > 0:
        yield _line(f"{' ' * indent}… {left:,} more lines; `agentkit approvals show` has them all", "bold yellow")


def _without_space(lines: Iterator[str]) -> Iterator[str]:
    """The lines; of many empty ones only how many there were, so that what follows is not out of sight."""
    empty = 0
    for line in lines:
        if not line.strip():
            empty += 1
            continue
        yield from [""] * empty if empty <= SPACE else [f"({empty:,} empty lines)"]
        yield line
        empty = 0
    if empty > SPACE:
        yield f"({empty:,} empty lines)"


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "yes or no"
        case int() | float():
            return "number"
        case str():
            lines = value.count("\n") + 1
            return "text" if lines == 1 else f"text, {lines:,} lines"
        case _:
            return f"list of {len(value)}" if is_array(value) else "object"


def _key(name: str) -> str:
    return visible(name) if name and not set(name) & set(" :=\"'") else folded(json.dumps(name, ensure_ascii=False))


def _short(value: Any) -> str:
    return folded(value, width=60) if isinstance(value, str) and value and " " not in value else _quoted(value)


def _quoted(value: Any) -> str:
    return folded(json.dumps(value, ensure_ascii=False, default=str), width=60)


def _text(interrupt: Interrupt, name: str) -> str:
    value = interrupt.meta.get(name) if is_object(interrupt.meta) else None
    return value if isinstance(value, str) else ""


def _by(interrupt: Interrupt) -> str:
    proven, said = visible(interrupt.resolved_by or ""), visible(interrupt.resolved_as or "")
    if said and said != proven:
        return f" by {said} (key: {proven})" if proven else f" by {said}"
    return f" by {proven}" if proven else ""


def _moment(text: str | None) -> str:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return visible(text or "")
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
