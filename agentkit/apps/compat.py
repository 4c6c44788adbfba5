"""`import inferencesh` as agentkit: apps written for the official SDK 0.7.8 run unchanged (protocol.md appendix B)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from agentkit.errors import AppDefinitionError

__all__ = ["alias_inferencesh"]

ROOT: Final = "inferencesh"
VERSION: Final = "0.7.8"  # whose names these are

_ABSENT: Final = object()
_AUTHORS: Final = ("agentkit.apps",)
_LLM: Final = ("agentkit.apps.llm", "agentkit.apps.llm_messages", "agentkit.apps.llm_stream", "agentkit.apps")

_HOMES: Final[dict[str, Sequence[str]]] = {  # where the names of a module are looked up, in this order
    ROOT: (*_AUTHORS, "agentkit", "agentkit.types", "agentkit.wire"),
    f"{ROOT}.models": (*_AUTHORS, "agentkit.errors"),
    f"{ROOT}.models.base": (*_AUTHORS, "agentkit.apps.models"),
    f"{ROOT}.models.errors": ("agentkit.errors",),
    f"{ROOT}.models.file": ("agentkit.apps.file",),
    f"{ROOT}.models.llm": _LLM,
    f"{ROOT}.models.output_meta": ("agentkit.apps.meta", "agentkit.types"),
    f"{ROOT}.output_meta_gen": ("agentkit.apps.meta", "agentkit.types"),
    f"{ROOT}.utils": _AUTHORS,
    f"{ROOT}.utils.download": _AUTHORS,
    f"{ROOT}.utils.storage": _AUTHORS,
    f"{ROOT}.client": ("agentkit",),
    f"{ROOT}.agent": ("agentkit",),
    f"{ROOT}.tools": ("agentkit.tools", "agentkit"),
    f"{ROOT}.types": ("agentkit.types", "agentkit.wire"),
}
_RENAMED: Final = {  # what has another name here
    "AgentConfigInput": "AgentConfig",
    "ChatDTO": "Chat",
    "ChatMessageDTO": "ChatMessage",
    "OrderedSchemaModel": "OrderedModel",
}


def alias_inferencesh() -> None:
    """Makes `inferencesh` and its modules mean agentkit in this process, also where the SDK itself is installed.

    Raises AppDefinitionError where the SDK has been imported already: its classes would not be ours.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if ROOT in sys.modules:
        raise AppDefinitionError(f"{ROOT} itself is imported already; call alias_inferencesh() before anything else")
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _HOMES:
            return None
        is_package = any(name.startswith(f"{fullname}.") for name in _HOMES)
        return ModuleSpec(fullname, _AliasLoader(), is_package=is_package)


class _AliasLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Alias(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Alias(ModuleType):
    """A module of the SDK: its names are found in ours when they are first used."""

    __version__ = VERSION

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return _public(self.__name__)
        value = _ABSENT if name.startswith("__") else _found(self.__name__, name)
        if value is _ABSENT:
            homes = " and ".join(_HOMES[self.__name__])
            raise AttributeError(f"module {self.__name__!r} has no {name!r}: it stands for {homes}")
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # importing `utils.download` sets it on `utils`, where the name means the function
        if isinstance(value, _Alias) and _found(self.__name__, name) is not _ABSENT:
            return
        super().__setattr__(name, value)


def _found(module: str, name: str) -> Any:
    """What is ours for the name, modules excepted; _ABSENT where there is nothing."""
    for home in _HOMES[module]:
        ours = importlib.import_module(home)
        for candidate in (name, _RENAMED.get(name, name)):
            value = getattr(ours, candidate, _ABSENT)
            if value is not _ABSENT and not isinstance(value, ModuleType):
                return value
    return _ABSENT


def _public(module: str) -> list[str]:
    """What `from inferencesh import *` gives."""
    found = (importlib.import_module(home) for home in _HOMES[module])
    return sorted({name for home in found for name in getattr(home, "__all__", ()) if not name.startswith("_")})
