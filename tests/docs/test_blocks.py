"""Every Python block of the README and of docs/ runs, in order, one page in one process."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.forked import Programs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_BASE_URL", "AGENTKIT_MODEL", "INFERENCE_API_KEY")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page: Path, tmp_path: Path, programs: Programs) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("```python")
    module = f"{page.stem}_page"  # `secrets` is a module that others import
    (tmp_path / f"{module}.py").write_text("\n".join(blocks), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name not in KEYS}
    done = programs.run(module, cwd=tmp_path, env=env, seconds=18)
    assert done.returncode == 0, done.stderr


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
