"""FLOOR 1. What an app author imports, and what reads an author's folder.

models file metadata meta llm storage    what authors write with: `from agentkit.apps import BaseApp, File`
signature discovery                       from a class to its interface: functions, what they take and give
manifest yaml loading compat              from a folder to a class
describe lifecycle                        the app as JSON; the app as a worker holds it
resolved cache content_type blanks        what `File` stands on

Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentkit.apps.compat import alias_inferencesh as alias_inferencesh
    from agentkit.apps.describe import AppDescription as AppDescription
    from agentkit.apps.describe import write_schemas as write_schemas
    from agentkit.apps.discovery import AppInterface as AppInterface
    from agentkit.apps.discovery import FunctionInfo as FunctionInfo
    from agentkit.apps.discovery import discover as discover
    from agentkit.apps.file import File as File
    from agentkit.apps.lifecycle import Hosted as Hosted
    from agentkit.apps.llm import ContextMessage as ContextMessage
    from agentkit.apps.llm import ContextMessageRole as ContextMessageRole
    from agentkit.apps.llm import LLMInput as LLMInput
    from agentkit.apps.llm import LLMOutput as LLMOutput
    from agentkit.apps.llm import Message as Message
    from agentkit.apps.llm_messages import build_messages as build_messages
    from agentkit.apps.llm_stream import stream_generate as stream_generate
    from agentkit.apps.llm_stream import timing_context as timing_context
    from agentkit.apps.loading import load_app as load_app
    from agentkit.apps.manifest import Manifest as Manifest
    from agentkit.apps.meta import AudioMeta as AudioMeta
    from agentkit.apps.meta import ImageMeta as ImageMeta
    from agentkit.apps.meta import MetaItem as MetaItem
    from agentkit.apps.meta import OutputMeta as OutputMeta
    from agentkit.apps.meta import RawMeta as RawMeta
    from agentkit.apps.meta import TextMeta as TextMeta
    from agentkit.apps.meta import VideoMeta as VideoMeta
    from agentkit.apps.metadata import Metadata as Metadata
    from agentkit.apps.models import BaseApp as BaseApp
    from agentkit.apps.models import BaseAppInput as BaseAppInput
    from agentkit.apps.models import BaseAppOutput as BaseAppOutput
    from agentkit.apps.models import BaseAppSetup as BaseAppSetup
    from agentkit.apps.resolved import ResolvedFile as ResolvedFile
    from agentkit.apps.resolved import resolving as resolving
    from agentkit.apps.storage import StorageDir as StorageDir
    from agentkit.apps.storage import download as download

_HOMES = {
    "compat": ("alias_inferencesh",),
    "describe": ("AppDescription", "write_schemas"),
    "discovery": ("AppInterface", "FunctionInfo", "discover"),
    "file": ("File",),
    "lifecycle": ("Hosted",),
    "llm": ("ContextMessage", "ContextMessageRole", "LLMInput", "LLMOutput", "Message"),
    "llm_messages": ("build_messages",),
    "llm_stream": ("stream_generate", "timing_context"),
    "loading": ("load_app",),
    "manifest": ("Manifest",),
    "meta": ("AudioMeta", "ImageMeta", "MetaItem", "OutputMeta", "RawMeta", "TextMeta", "VideoMeta"),
    "metadata": ("Metadata",),
    "models": ("BaseApp", "BaseAppInput", "BaseAppOutput", "BaseAppSetup"),
    "resolved": ("ResolvedFile", "resolving"),
    "storage": ("StorageDir", "download"),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]: made of the table above


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'agentkit.apps' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"agentkit.apps.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
