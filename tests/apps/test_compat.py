"""Apps written for the official SDK run unchanged: `inferencesh` means agentkit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentkit
from agentkit import apps
from agentkit.apps import File, Hosted, OutputMeta, ResolvedFile, alias_inferencesh, resolving
from agentkit.errors import AppDefinitionError
from tests.apps.folders import write_app


@pytest.fixture(autouse=True)
def leaves_the_import_system_alone() -> Iterator[None]:
    finders = list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.partition(".")[0] == "inferencesh"]:
        del sys.modules[name]


# an app as they are written: relative helper, enums, optional files, untyped metadata, cancel, pricing, several styles
HEAD = """
import logging
import os
from enum import Enum
from typing import AsyncGenerator, List, Literal, Optional

from inferencesh import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File, OutputMeta, ImageMeta, TextMeta
from inferencesh.models.file import File as SameFile
from inferencesh.models.llm import LLMInput, LLMOutput, ReasoningCapabilityMixin, build_messages
from pydantic import Field

from .helper import shout
"""
APP = """
class StyleEnum(str, Enum):
    plain = "plain"
    loud = "loud"

class AppSetup(BaseAppSetup):
    prefix: str = Field(default=">", description="What to begin with")

class AppInput(BaseAppInput):
    \"\"\"What to say.\"\"\"
    prompt: str = Field(description="The words", examples=["hello"])
    style: StyleEnum = Field(default=StyleEnum.plain)
    format: Literal["png", "jpg"] = "png"
    image: Optional[File] = Field(default=None, json_schema_extra={"contentMediaType": "image/*"})
    more: List[File] = Field(default=[], max_length=2)

class AppOutput(BaseAppOutput):
    text: str = Field(description="What was said")
    image: Optional[File] = None

class App(BaseApp):
    logger: Optional[logging.Logger] = None

    async def setup(self, config: AppSetup = None, metadata=None):
        self.logger = logging.getLogger(__name__)
        self.prefix = config.prefix if config else "none"
        self.cancel_flag = False

    async def run(self, input_data: AppInput, metadata) -> AsyncGenerator[AppOutput, None]:
        words = input_data.prompt if input_data.style == StyleEnum.plain else shout(input_data.prompt)
        for size in range(1, len(words.split()) + 1):
            if self.cancel_flag:
                return
            yield AppOutput(text=" ".join([self.prefix, *words.split()[:size]]))
        yield AppOutput(
            text=f"{self.prefix} {words}!",
            image=input_data.image,
            output_meta=OutputMeta(inputs=[TextMeta(tokens=2)], outputs=[ImageMeta(width=8, height=8)]),
        )

    async def on_cancel(self):
        self.cancel_flag = True
        return True

    async def unload(self):
        self.logger = None
"""


async def test_a_realistic_app_of_the_official_sdk_runs_unchanged(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "say-it", APP, head=HEAD, helper__py="def shout(words):\n    return words.upper()\n")
    hosted = Hosted.load(folder, compat=True)
    schema = hosted.interface.function().input_schema
    assert list(schema["properties"]) == ["prompt", "style", "format", "image", "more"]
    await hosted.setup(hosted.check_setup({"prefix": "*"}))
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    value = {"prompt": "hello world", "style": "loud", "image": "inf://files/f1/cat.png"}
    with resolving({"inf://files/f1/cat.png": ResolvedFile(str(tmp_path / "cat.png"))}, is_closed=True):
        input = hosted.check_input("run", value)
    outputs: list[Any] = [output async for output in hosted.stream("run", input)]
    assert [output.text for output in outputs] == ["* HELLO", "* HELLO WORLD", "* HELLO WORLD!"]
    assert isinstance(outputs[-1].image, File) and isinstance(outputs[-1].output_meta, OutputMeta)
    assert outputs[-1].image.uri == "inf://files/f1/cat.png"
    assert await hosted.cancel() is True
    await hosted.unload()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("from inferencesh import BaseApp as it", apps.BaseApp),
        ("import inferencesh; it = inferencesh.BaseAppInput", apps.BaseAppInput),
        ("from inferencesh.models import File as it", apps.File),
        ("from inferencesh.models.base import BaseAppOutput as it", apps.BaseAppOutput),
        ("import inferencesh.models.file; it = inferencesh.models.file.File", apps.File),
        ("from inferencesh.models.output_meta import TextMeta as it", apps.TextMeta),
        ("from inferencesh.models.errors import APIError as it", agentkit.APIError),
        ("from inferencesh import Inference as it", agentkit.Inference),
        ("from inferencesh.tools import tool as it", agentkit.tool),
        ("from inferencesh import TaskStatus as it", agentkit.TaskStatus),
        ("from inferencesh.types import ChatDTO as it", agentkit.Chat),
        (
            "from inferencesh.utils.download import download; from inferencesh.utils import download as it",
            apps.download,
        ),
        ("from inferencesh.utils import StorageDir as it", apps.StorageDir),
        ("from inferencesh.models.llm import build_messages as it", apps.build_messages),
        ("from inferencesh import LLMInput as it", apps.LLMInput),
        ("from inferencesh import *; it = Metadata", apps.Metadata),
        ("import inferencesh; it = inferencesh.__version__", "0.7.8"),
    ],
)
def test_names_of_the_official_sdk_mean_ours(statement: str, expected: Any) -> None:
    alias_inferencesh()
    alias_inferencesh()  # again is the same
    scope: dict[str, Any] = {}
    exec(statement, scope)
    assert scope["it"] == expected


@pytest.mark.parametrize(
    ("statement", "error", "says"),
    [
        ("from inferencesh import Teleporter", ImportError, "cannot import name 'Teleporter'"),
        ("import inferencesh; inferencesh.Teleporter", AttributeError, "it stands for agentkit.apps and agentkit"),
        ("import inferencesh.teleport", ModuleNotFoundError, "inferencesh.teleport"),
    ],
)
def test_names_that_agentkit_lacks_are_import_errors(statement: str, error: type[Exception], says: str) -> None:
    alias_inferencesh()
    with pytest.raises(error, match=says):
        exec(statement, {})


def test_the_official_sdk_in_use_already_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if "compat" not in type(each).__module__])
    monkeypatch.setitem(sys.modules, "inferencesh", apps)
    with pytest.raises(AppDefinitionError, match="imported already"):
        alias_inferencesh()
