"""What is said to a person about one question, and asked of them, until there is an answer.

A generator: it yields what to say, lines to ask for and arguments to edit, and is sent what was typed, None at the end
of the input. Who reads the keyboard, and what happens meanwhile, is not its business.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from agentkit.cli.edits import check_names, diff, has_editor
from agentkit.cli.exits import Mistake
from agentkit.cli.inputs import Asked
from agentkit.cli.question import Line, is_form, is_unknown
from agentkit.cli.visible import folded, visible
from agentkit.tools.forms import ANSWER, FieldKind, FormField, fields, is_single
from agentkit.tools.jsonable import is_array
from agentkit.wire import Always, Interrupt, Widget, WidgetNode

__all__ = ["Dialogue", "Edit", "Prompt", "Reply", "Say", "Step", "Word", "answer", "form"]


class Word(StrEnum):
    """What a person decided to do about a question."""

    APPROVE = "approve"
    REJECT = "reject"
    RESPOND = "respond"
    SKIP = "skip"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Reply:
    """The decision, with what belongs to it."""

    word: Word
    arguments: Mapping[str, Any] | None = None
    always: Always | None = None
    text: str = ""  # the reason
    data: Any = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """Ask for a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Say:
    """Tell these lines."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """Open these arguments in an editor; what was saved is sent back, or what is wrong with it as Mistake."""

    arguments: Mapping[str, Any]


Step: TypeAlias = Prompt | Say | Edit
Dialogue: TypeAlias = Generator[Step, Any, Reply]
Form: TypeAlias = Generator[Step, Any, "dict[str, Any] | None"]

APPROVAL: Final = "[a]pprove, [e]dit, [r]eject, [v] respond instead of it, [A]lways, [s]kip, [q]uit: "
UNKNOWN: Final = "[a] run it again, [r] do not, [v] I know the result, [s]kip, [q]uit: "
FORM: Final = "[a]nswer, [r] decline, [s]kip, [q]uit: "
YES: Final = ("y", "yes")
_QUIT: Final = Reply(Word.QUIT)


def answer(interrupt: Interrupt) -> Dialogue:
    """Asks until the person decided about this question."""
    menu = FORM if is_form(interrupt) else UNKNOWN if is_unknown(interrupt) else APPROVAL
    while True:
        typed = yield Prompt(menu)
        reply = _QUIT if typed is None else (yield from _chosen(interrupt, typed.strip()))
        if reply is not None:
            return reply


def form(interrupt: Interrupt) -> Generator[Step, Any, Reply | None]:
    """Asks for the answer to a question that has a form, field by field. None: it was given up."""
    widget = interrupt.widget
    if interrupt.answer_schema is None and widget is not None:
        data = yield from _widget(widget)
        return None if data is None else Reply(Word.RESPOND, data=data)
    asked = fields(interrupt.answer_schema or {"type": "string"})
    values = yield from _fields(asked)
    if values is None:
        return None
    is_one = interrupt.answer_schema is None or is_single(interrupt.answer_schema)
    return Reply(Word.RESPOND, data=values[ANSWER] if is_one else values)


# -- what was chosen -----------------------------------------------------------------------------------------------


def _chosen(interrupt: Interrupt, typed: str) -> Generator[Step, Any, Reply | None]:
    """The decision that a letter stands for; None: ask again."""
    letter = typed if typed == "A" else typed.lower()
    match letter:
        case "s" | "skip":
            return Reply(Word.SKIP)
        case "q" | "quit":
            return _QUIT
        case "r" | "reject" | "decline":
            reason = yield Prompt("Why? (the model reads it; may be empty) ")
            return _QUIT if reason is None else Reply(Word.REJECT, text=reason.strip())
        case "a" | "answer" if is_form(interrupt):
            return (yield from form(interrupt))
        case _ if is_form(interrupt):
            return None
        case "a" | "approve":
            return Reply(Word.APPROVE)
        case "v" | "respond":
            text = yield Prompt("The result, in a line: ")
            return _QUIT if text is None else Reply(Word.RESPOND, data=text.strip()) if text.strip() else None
        case "e" | "edit" if not is_unknown(interrupt):
            return (yield from _edit(interrupt))
        case "A" | "always" if not is_unknown(interrupt):
            return (yield from _always(interrupt))
        case _:
            return None


def _always(interrupt: Interrupt) -> Generator[Step, Any, Reply | None]:
    typed = yield Prompt(f"Always: [t] every call of {visible(interrupt.tool_name)} in this chat, [e] this very call: ")
    scope = {"t": "tool", "e": "exact"}.get((typed or "").strip().lower())
    return Reply(Word.APPROVE, always=Always.parse({"scope": scope})) if scope else None


def _edit(interrupt: Interrupt) -> Generator[Step, Any, Reply | None]:
    """Arguments from an editor, or line by line; then the diff, and whether it is meant."""
    before = interrupt.arguments
    after = (yield Edit(before)) if has_editor() else (yield from _typed(before))
    if after is None:
        return None
    try:
        check_names(before, after, interrupt.context.input_schema if interrupt.context else None)
    except Mistake as error:
        yield Say((((str(error), "red"),),))
        return None
    changed = diff(before, after)
    if not changed:
        yield Say(((("nothing was changed", "dim"),),))
        return None
    yield Say(tuple(changed))
    sure = yield Prompt("Approve with these arguments? [y/N] ")
    return Reply(Word.APPROVE, arguments=after) if (sure or "").strip().lower() in YES else None


def _typed(before: Mapping[str, Any]) -> Generator[Step, Any, dict[str, Any] | None]:
    yield Say(((("KEY=VALUE changes a member, as with --set; an empty line ends.", "dim"),),))
    value = dict(before)
    while typed := (yield Prompt("  ")):
        if not typed.strip():
            return value
        try:
            value = _set(value, typed.strip())
        except Mistake as error:
            yield Say((((str(error), "red"),),))
    return None


def _set(value: Mapping[str, Any], entry: str) -> dict[str, Any]:
    changed: dict[str, Any] = Asked.parse(json.dumps(value), sets=[entry], files=None).value
    return changed


# -- forms ---------------------------------------------------------------------------------------------------------


def _fields(asked: tuple[FormField, ...]) -> Form:
    values: dict[str, Any] = {}
    for field in asked:
        value = yield from _field(field)
        if value is _GIVEN_UP:
            return None
        if value is not None:
            values[field.name] = value
    return values


_GIVEN_UP: Final = object()


def _field(field: FormField) -> Generator[Step, Any, Any]:
    """The value of one field; asks again where it is none."""
    if field.description:
        yield Say((((visible(field.description), "dim"),),))
    if field.options:
        yield Say(tuple(((f"  {place}) {visible(label)}", ""),) for place, (label, _) in enumerate(field.options, 1)))
    while True:
        typed = yield from _lines(field)
        if typed is None:
            return _GIVEN_UP
        if not typed.strip() and field.has_default:
            return field.default
        try:
            value = field.read(_numbered(field, typed))
        except ValueError as error:
            yield Say((((visible(str(error)), "red"),),))
            continue
        if value is not None or not field.is_required:
            return value
        yield Say(((("it is required", "red"),),))


def _lines(field: FormField) -> Generator[Step, Any, str | None]:
    """What was typed: a line, or lines up to an empty one."""
    typed: str | None = yield Prompt(_label(field))
    if field.kind not in (FieldKind.LONG_TEXT, FieldKind.LINES) or not (typed or "").strip():
        return typed
    lines = [typed or ""]
    while (typed := (yield Prompt("  "))) and typed.strip():
        lines.append(typed)
    return None if typed is None else "\n".join(line.rstrip("\n") for line in lines)


def _label(field: FormField) -> str:
    notes = [_how(field), "" if field.is_required else "may be left empty"]
    told = ", ".join(each for each in notes if each)
    begins = f" [{folded(field.default, width=40)}]" if field.has_default and field.default is not None else ""
    return f"{visible(field.label)}{f' ({told})' if told else ''}{begins}: "


def _how(field: FormField) -> str:
    match field.kind:
        case FieldKind.CHOICE:
            return "its number"
        case FieldKind.CHOICES:
            return "their numbers, with commas"
        case FieldKind.BOOLEAN:
            return "y or n"
        case FieldKind.LONG_TEXT:
            return "an empty line ends it"
        case FieldKind.LINES:
            return "one on each line, an empty one ends it"
        case FieldKind.NUMBER | FieldKind.INTEGER:
            return f"a number{' ' if field.hint else ''}{visible(field.hint)}"
        case _:
            return visible(field.hint)


def _numbered(field: FormField, typed: str) -> Any:
    """What was typed, numbers of options replaced by what they stand for."""
    if field.kind is FieldKind.CHOICES:
        return [_option(field, each.strip()) for each in typed.split(",") if each.strip()] or None
    return _option(field, typed.strip()) if field.kind is FieldKind.CHOICE else typed.strip("\n")


def _option(field: FormField, typed: str) -> Any:
    labels = [label for label, _ in field.options]
    if typed.isdecimal() and typed not in labels and 1 <= int(typed) <= len(labels):
        return field.options[int(typed) - 1][1]
    return typed


# -- widgets -------------------------------------------------------------------------------------------------------

_KINDS: Final = {
    "input": FieldKind.TEXT,
    "textarea": FieldKind.LONG_TEXT,
    "checkbox": FieldKind.BOOLEAN,
    "select": FieldKind.CHOICE,
    "radio-group": FieldKind.CHOICE,
    "date-picker": FieldKind.DATE,
}


def _widget(widget: Widget) -> Form:
    """The action of a widget, and its fields. None for what cannot be shown at a terminal."""
    actions = _actions(widget)
    if widget.type != "ui" or not actions:
        yield Say(((("This is a page for a browser; answer it there, or with --data.", "yellow"),),))
        return None
    for node in _nodes(widget.children):
        if isinstance(node.value, str) and node.value.strip():
            yield Say((((visible(node.value), ""),),))
    yield Say(tuple(((f"  {place}) {visible(label)}", ""),) for place, (label, _) in enumerate(actions, 1)))
    typed = yield Prompt("What to do (its number): ")
    if not (typed or "").strip().isdecimal() or not 1 <= int(typed) <= len(actions):
        return None
    _, (action, has_form) = actions[int(typed) - 1]
    if not has_form:
        return {"action": action}
    values = yield from _fields(tuple(_as_field(node) for node in _nodes(widget.children) if node.type in _KINDS))
    return None if values is None else {"action": action, "form_data": values}


def _actions(widget: Widget) -> list[tuple[str, tuple[dict[str, Any], bool]]]:
    """What a person can do: labels, with the action and whether it hands in the fields."""
    found: list[tuple[str, tuple[dict[str, Any], bool]]] = []
    for node in _nodes(widget.children):
        action = node.onSubmitAction or node.action or node.onClickAction
        if action is not None and action.type:
            hands_in = node.type == "form" or bool(node.submit)
            found.append((node.label or action.type, (action.to_wire(), hands_in)))
    found += [(each.label or each.action.type, (each.action.to_wire(), False)) for each in widget.actions]
    kinds = [action["type"] for _, (action, _) in found]
    return [each for place, each in enumerate(found) if each[1][0]["type"] not in kinds[:place]]


def _nodes(children: Any) -> list[WidgetNode]:
    """All of them, in order."""
    found: list[WidgetNode] = []
    for node in children if is_array(children) else ():
        found += [node, *_nodes(node.children)]
    return found


def _as_field(node: WidgetNode) -> FormField:
    name = node.name or node.fieldName or ""
    return FormField(
        name=name,
        kind=_KINDS[str(node.type)],
        label=node.label or name,
        is_required=bool(node.required) and node.type != "checkbox",
        has_default=node.defaultValue is not None,
        default=node.defaultValue,
        options=tuple((each.label, each.value) for each in node.options or ()),
        hint=node.placeholder or "",
    )
