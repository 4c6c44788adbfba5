"""`widget`: a surface in the chat, only shown, or waited for until a person answers (protocol.md 6.3, 6.5, 6.8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import to_json

from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime.executors.internal import TOP_LEVEL, Category, Effect, InternalTool
from agentkit.runtime.faults import Fault
from agentkit.runtime.records import ChatRecord
from agentkit.wire import InterruptReason, Widget, WidgetNodeType

__all__ = ["CATEGORY", "MOST_CHARS", "answer", "problems"]

NAME: Final = "widget"
MOST_CHARS: Final = 64_000  # of a widget, and of an answer: both are in every snapshot of their message
MOST_NODES: Final = 500
DEEPEST: Final = 16
SHOWN: Final = "shown to the user"

_T: Final = WidgetNodeType
INPUTS: Final = frozenset({_T.INPUT, _T.TEXTAREA, _T.SELECT, _T.CHECKBOX, _T.RADIO_GROUP, _T.DATE_PICKER})
CHOICES: Final = frozenset({_T.SELECT, _T.RADIO_GROUP})
ACTIONS: Final = ("action", "onClickAction", "onSubmitAction")  # members of a node that are one


def answer(widget: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a person did with an interactive widget: the text for the model, and the same as JSON.

    Raises Fault `validation_error` with paths for an action that the widget does not have, for fields of its form that
    are missing, and for choices that are none.
    """
    action, form = given.get("action"), given.get("form_data")
    action = {"type": action} if isinstance(action, str) else action
    problems = list(_misses(widget, action, {} if form is None else form))
    if problems:
        told = "; ".join(f"{each['path']}: {each['message']}" for each in problems)
        raise Fault("validation_error", f"the answer does not fit the widget: {told}", errors=problems)
    data = {"action": action, "form_data": form}
    text = to_json(data).decode()
    if len(text) > MOST_CHARS:
        raise Fault("validation_error", f"the answer has {len(text):,} characters; {MOST_CHARS:,} at most")
    return text, data


def _show(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    wrong = list(problems(arguments))
    if wrong:
        return Effect(f"the widget cannot be shown: {'; '.join(wrong[:10])}", failed=True)
    waits = _is_interactive(arguments)
    widget = {**arguments, "interactive": waits}
    return Effect(SHOWN, widget=widget, waits_for=InterruptReason.WIDGET if waits else None)


# -- what may be shown ---------------------------------------------------------------------------------------------


def _is_interactive(widget: Mapping[str, Any]) -> bool:
    """Whether somebody has to answer: as it says, else where there is something to answer with."""
    wanted = widget.get("interactive")
    return bool(_offered_actions(widget)) if wanted is None else bool(wanted)


def problems(widget: Mapping[str, Any]) -> Iterator[str]:
    """Why the widget cannot be shown, with paths."""
    size = len(to_json(widget))
    if size > MOST_CHARS:
        yield f"it has {size:,} characters; {MOST_CHARS:,} at most"
        return
    if widget["type"] == "html":
        if not widget.get("html"):
            yield "html: a widget of type 'html' is a page; it is missing"
    elif not (widget.get("children") or widget.get("actions")):
        yield "children: there is nothing to show"
    yield from _tree_problems(widget)
    if widget["type"] == "ui" and _is_interactive(widget) and not _offered_actions(widget):
        yield "actions: nobody could answer it; add `actions`, or a button or form with an action"


def _tree_problems(widget: Mapping[str, Any]) -> Iterator[str]:
    try:
        Widget.parse(dict(widget))
    except ValidationError as error:
        for each in error.errors(include_url=False)[:10]:
            yield f"{'.'.join(map(str, each['loc'])) or '(widget)'}: {each['msg']}"
        return
    names: set[str] = set()
    for number, (path, depth, node) in enumerate(_nodes(widget)):
        if number >= MOST_NODES or depth > DEEPEST:
            yield f"{path}: it has more than {MOST_NODES} nodes, or more than {DEEPEST} in one another"
            return
        yield from _node_problems(path, node, names)


def _node_problems(path: str, node: Mapping[str, Any], names: set[str]) -> Iterator[str]:
    kind = node.get("type")
    if kind not in set(WidgetNodeType):
        yield f"{path}.type: {kind!r} is none of {', '.join(WidgetNodeType)}"
    if kind in INPUTS:
        name = _field(node)
        if not name:
            yield f"{path}.name: a field needs a name, under which its value comes back"
        elif name in names:
            yield f"{path}.name: two fields are called {name!r}"
        names.add(name)
    if kind in CHOICES and not node.get("options"):
        yield f"{path}.options: there is nothing to choose from"
    if kind == _T.BUTTON and not (node.get("submit") or any(node.get(each) for each in ACTIONS)):
        yield f"{path}.action: a button without an action does nothing"
    for member in ACTIONS:
        if (given := node.get(member)) is not None and not _type_of(given):
            yield f"{path}.{member}.type: an action needs a type, by which the answer names it"


def _nodes(parent: Mapping[str, Any], path: str = "", depth: int = 1) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Path, depth and members of every node below, in order."""
    children: Any = parent.get("children")
    for place, child in enumerate(children if is_array(children) else ()):
        here = f"{path}.children[{place}]".lstrip(".")
        if is_object(child):
            yield here, depth, child
            if depth <= DEEPEST:
                yield from _nodes(child, here, depth + 1)


# -- what may be answered ------------------------------------------------------------------------------------------


def _misses(widget: Mapping[str, Any], action: Any, form: Any) -> Iterator[dict[str, str]]:
    """What keeps an answer from fitting."""
    if not is_object(action) or not _type_of(action):
        yield {"path": "action.type", "message": "say what was done: the `type` of one of the widget's actions"}
        return
    if not is_object(form):
        yield {"path": "form_data", "message": "it is an object: values by the names of the fields"}
        return
    if widget.get("type") != "ui":
        return  # what a page sends is its own affair
    offered = _offered_actions(widget)
    if "" not in offered and _type_of(action) not in offered:
        yield {"path": "action.type", "message": f"{_type_of(action)!r} is none of {', '.join(offered)}"}
    for _, _, node in _nodes(widget):
        if node.get("type") == _T.FORM and _type_of(action) in _submits(node):
            yield from _missing(node, form)
        yield from _foreign(node, form)


def _missing(form_node: Mapping[str, Any], form: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for _, _, node in _nodes(form_node):
        if node.get("required") and node.get("type") in INPUTS and form.get(_field(node)) in (None, "", False, []):
            yield {"path": f"form_data.{_field(node)}", "message": "it is required"}


def _foreign(node: Mapping[str, Any], form: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """A choice that is not among the options."""
    value = form.get(_field(node))
    if node.get("type") not in CHOICES or value in (None, ""):
        return
    options = [each.get("value") for each in node["options"]]
    for chosen in value if is_array(value) else [value]:
        if chosen not in options:
            known = ", ".join(map(str, options))
            yield {"path": f"form_data.{_field(node)}", "message": f"{str(chosen)[:80]!r} is none of {known}"}


def _offered_actions(widget: Mapping[str, Any]) -> dict[str, None]:
    """The types of the actions a person can choose, in order; "" for one that the client names itself."""
    buttons: Any = widget.get("actions")
    offered = [_type_of(each.get("action")) for each in (buttons if is_array(buttons) else ()) if is_object(each)]
    for _, _, node in _nodes(widget):
        offered += [_type_of(node[member]) for member in ACTIONS if node.get(member)]
        if node.get("submit") and not (node.get("action") or node.get("onClickAction")):
            offered.append("")
    return dict.fromkeys(offered)


def _submits(form_node: Mapping[str, Any]) -> set[str]:
    """The types of the actions that hand the form in."""
    found = {_type_of(form_node.get("onSubmitAction"))}
    for _, _, node in _nodes(form_node):
        if node.get("submit"):
            found.add(_type_of(node.get("action") or node.get("onClickAction")))
    return found - {""}


def _type_of(action: Any) -> str:
    return str(action.get("type") or "") if is_object(action) else ""


def _field(node: Mapping[str, Any]) -> str:
    return str(node.get("name") or node.get("fieldName") or "")


_ACTION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "minLength": 1, "description": "A word for it, such as confirm"},
        "payload": {"type": "object"},
    },
    "required": ["type"],
}
_NODE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [each.value for each in WidgetNodeType]},
        "value": {"description": "The text of text, title, caption, markdown, badge and their like"},
        "label": {"type": "string"},
        "name": {"type": "string", "description": "Of a field: the name of its value in the answer"},
        "placeholder": {"type": "string"},
        "defaultValue": {"description": "What a field begins with"},
        "required": {"type": "boolean"},
        "options": {
            "type": "array",
            "description": "Of select and radio-group",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "value": {"type": "string"}},
                "required": ["label", "value"],
            },
        },
        "src": {"type": "string", "description": "Of an image: its URL"},
        "action": {**_ACTION, "description": "Of a button: what it stands for"},
        "onSubmitAction": {**_ACTION, "description": "Of a form: what handing it in stands for"},
        "submit": {"type": "boolean", "description": "Of a button: it hands in the form around it"},
        "variant": {"type": "string"},
        "children": {"type": "array", "items": {"type": "object"}, "description": "Nodes like this one"},
    },
    "required": ["type"],
}
_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["ui", "html"], "description": "A tree of nodes, or a page"},
        "title": {"type": "string"},
        "children": {"type": "array", "items": _NODE, "description": "With type ui: what to show"},
        "html": {"type": "string", "description": "With type html: the page"},
        "actions": {
            "type": "array",
            "description": "Buttons below it",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "action": _ACTION, "variant": {"type": "string"}},
                "required": ["label", "action"],
            },
        },
        "interactive": {"type": "boolean", "description": "Whether to wait for the user's answer"},
    },
    "required": ["type"],
}

CATEGORY = Category(
    id="widget",
    description="Lets the agent show texts, pictures, forms and buttons, and wait for what the user does with them.",
    default_enabled=True,
    scope=(TOP_LEVEL,),
    tools=(
        InternalTool(
            NAME,
            "Show the user a form, buttons, or something to look at. An interactive one gives back what the user did: "
            "the action and the values of the fields.",
            _PARAMETERS,
            _show,
        ),
    ),
)
