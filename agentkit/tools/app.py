"""Tools that run an app of the platform (`type: app`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from agentkit.tools._builder import ToolBuilder

__all__ = ["AppToolBuilder", "app_tool"]


@dataclass(frozen=True, kw_only=True, repr=False)
class AppToolBuilder(ToolBuilder):
    """Runs an app; its input schema is the app's own, and declared parameters are a hint beside it."""

    KIND: ClassVar[str] = "app"

    ref: str
    app_function: str | None = None
    has_sessions: bool = False
    app_setup: Mapping[str, Any] = field(default_factory=dict[str, Any])
    app_input: Mapping[str, Any] = field(default_factory=dict[str, Any])
    app_fixed_input: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__post_init__()
        self._filled(self.ref, what="the app reference", example="'namespace/name@version'")

    def setup(self, values: Mapping[str, Any]) -> Self:
        """Values for the app's setup, hidden from the model."""
        return replace(self, app_setup=self._plain(values, what=".setup()"))

    def input(self, values: Mapping[str, Any]) -> Self:
        """Default input; the model's arguments win."""
        return replace(self, app_input=self._plain(values, what=".input()"))

    def fixed_input(self, values: Mapping[str, Any]) -> Self:
        """Input that wins over the model's arguments, and that the model does not see in the app's schema."""
        return replace(self, app_fixed_input=self._plain(values, what=".fixed_input()"))

    def function(self, name: str) -> Self:
        """Which function of an app that has several."""
        return replace(self, app_function=self._filled(name, what="the function", example=".function('generate')"))

    def session_enabled(self, enabled: bool = True) -> Self:
        """The model may keep the app warm between calls: it passes and sees session ids."""
        return replace(self, has_sessions=enabled)

    def config(self) -> dict[str, Any]:
        """`ref`, and whatever else was set."""
        parts = {
            "function": self.app_function,
            "session_enabled": self.has_sessions,
            "setup": self._plain(self.app_setup, what=".setup()"),
            "input": self._plain(self.app_input, what=".input()"),
            "fixed_input": self._plain(self.app_fixed_input, what=".fixed_input()"),
        }
        return {"ref": self.ref, **{key: part for key, part in parts.items() if part}, **self._hint()}


def app_tool(name: str, app_ref: str) -> AppToolBuilder:
    """A tool that runs the app `namespace/name@version`.

    >>> app_tool("draw", "acme/draw@k3v9x2ab").describe("Draw").function("generate").build()["app"]
    {'ref': 'acme/draw@k3v9x2ab', 'function': 'generate'}
    """
    return AppToolBuilder(name=name, ref=app_ref)
