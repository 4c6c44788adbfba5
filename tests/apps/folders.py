"""App folders for tests: real files, written where the test wants them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

MANIFEST = "name: probe\nnamespace: acme\nkernel: python-3.11\n"

HEAD = """
from typing import AsyncGenerator, AsyncIterator, Iterator, Optional
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File, Metadata
from pydantic import BaseModel, Field

class In(BaseAppInput):
    text: str = "?"

class Out(BaseAppOutput):
    text: str

"""


def write_app(folder: Path, code: str, *, head: str = HEAD, manifest: str | None = MANIFEST, **files: str) -> Path:
    """A folder with `inference.py` (after `head`), `inf.yml`, and `name__py="..."` for further files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.py").write_text(head + dedent(code))
    if manifest is not None:
        (folder / "inf.yml").write_text(dedent(manifest))
    for name, text in files.items():
        path = folder / name.replace("__slash__", "/").replace("__py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder
