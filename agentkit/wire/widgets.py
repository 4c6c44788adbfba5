"""Widgets: a small surface that a tool call shows in a chat, answered through its invocation (protocol.md 6.3).

Newer servers replace this tree by a flat A2UI surface; its members are kept as unknown fields.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from agentkit.wire._base import Open, Wire

__all__ = ["Widget", "WidgetAction", "WidgetActionButton", "WidgetNode", "WidgetNodeType", "WidgetSelectOption"]


class WidgetNodeType(StrEnum):
    """What a node draws."""

    TEXT = "text"
    MARKDOWN = "markdown"
    IMAGE = "image"
    BADGE = "badge"
    BUTTON = "button"
    INPUT = "input"
    SELECT = "select"
    CHECKBOX = "checkbox"
    ROW = "row"
    COL = "col"
    BOX = "box"
    SPACER = "spacer"
    DIVIDER = "divider"
    FORM = "form"
    TITLE = "title"
    CAPTION = "caption"
    LABEL = "label"
    TEXTAREA = "textarea"
    RADIO_GROUP = "radio-group"
    DATE_PICKER = "date-picker"
    ICON = "icon"
    CHART = "chart"
    TRANSITION = "transition"
    PLAN_LIST = "plan-list"
    KEY_VALUE = "key-value"
    STATUS_BADGE = "status-badge"


class WidgetAction(Wire):
    """What a person did, or what a button stands for."""

    type: str = ""
    payload: dict[str, Any] | None = None


class WidgetActionButton(Wire):
    """A button below the widget."""

    label: str = ""
    action: WidgetAction = Field(default_factory=WidgetAction)
    variant: str | None = None


class WidgetSelectOption(Wire):
    """One choice of a select or radio group."""

    label: str = ""
    value: str = ""


class WidgetNode(Wire):
    """One node of the tree, with the names of the wire. Written sparsely, whatever it is part of: most is unset."""

    type: Open[WidgetNodeType] = ""
    value: Any = None
    src: str | None = None
    alt: str | None = None
    label: str | None = None
    name: str | None = None
    placeholder: str | None = None
    defaultValue: Any = None
    variant: str | None = None
    action: WidgetAction | None = None
    options: list[WidgetSelectOption] | None = None
    defaultChecked: bool | None = None
    children: list[WidgetNode] = Field(default_factory=lambda: list[WidgetNode]())
    gap: float | None = None
    align: str | None = None
    justify: str | None = None
    padding: Any = None
    background: Any = None
    radius: Any = None
    direction: str | None = None
    wrap: Any = None
    flex: Any = None
    size: Any = None
    weight: Any = None
    color: Any = None
    textAlign: str | None = None
    truncate: bool | None = None
    maxLines: int | None = None
    disabled: bool | None = None
    required: bool | None = None
    rows: int | None = None
    fieldName: str | None = None
    submit: bool | None = None
    pattern: str | None = None
    min: Any = None
    max: Any = None
    clearable: bool | None = None
    onClickAction: WidgetAction | None = None
    iconName: str | None = None
    spacing: Any = None
    minSize: Any = None
    height: Any = None
    width: Any = None
    chartData: Any = None
    chartSeries: Any = None
    xAxis: Any = None
    showYAxis: bool | None = None
    showLegend: bool | None = None
    showTooltip: bool | None = None
    onSubmitAction: WidgetAction | None = None
    dataKey: str | None = None

    @model_serializer(mode="wrap")
    def _sparse(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unset = type(self).model_fields.keys() - self.model_fields_set
        return {name: value for name, value in write(self).items() if name not in unset}


class Widget(Wire):
    """The surface: a tree of nodes (`type` ui) or a page (`type` html); `interactive` ones wait for an answer."""

    type: str = ""
    interactive: bool | None = None
    title: str | None = None
    html: str | None = None
    json_: Any = Field(default=None, alias="json")
    children: list[WidgetNode] = Field(default_factory=list[WidgetNode])
    actions: list[WidgetActionButton] = Field(default_factory=list[WidgetActionButton])
