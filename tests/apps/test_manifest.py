"""inf.yml: what is read, what is refused and where, and what is written back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentkit.apps import Manifest, discover, load_app
from agentkit.apps.manifest import bytes_of
from agentkit.errors import AppDefinitionError
from agentkit.wire import GpuResource, GPUType
from tests.apps.folders import write_app

FULL = """\
namespace: acme
name: resize
description: What it does
category: image
kernel: python-3.11
default_function: run
images:
  card: https://x.example/card.png
  thumbnail: ''
metadata:
  checksum: abc
  idempotent: true
  timeout_seconds: 90
  since: 2024-01-01
env:
  MODEL: small
  PORT: 8080
  DEBUG: yes
  EMPTY:
secrets:
- key: HF_TOKEN
  description: token
  optional: true
integrations:
- key: gcp.vertex_ai
  description: Vertex access
functions:
- name: run
  description: Makes it smaller
resources:
  gpu:
    count: 1
    vram: 24
    type: nvidia
  ram: 4
sandbox:
  network: none
"""


def test_everything_in_the_file_is_read_and_sizes_become_bytes() -> None:
    manifest = Manifest.parse(FULL)
    assert (manifest.namespace, manifest.name, manifest.category) == ("acme", "resize", "image")
    assert (manifest.kernel, manifest.python, manifest.default_function) == ("python-3.11", "3.11", "run")
    assert manifest.images == {"card": "https://x.example/card.png", "thumbnail": ""}
    assert manifest.env == {"MODEL": "small", "PORT": "8080", "DEBUG": "yes", "EMPTY": ""}
    assert (manifest.metadata.idempotent, manifest.metadata.timeout_seconds) == (True, 90)
    assert (manifest.secrets[0].key, manifest.secrets[0].optional) == ("HF_TOKEN", True)
    assert manifest.integrations[0].key == "gcp.vertex_ai"
    assert manifest.resources.gpu.vram == 24_000_000_000 and manifest.resources.gpu.type == "nvidia"
    assert manifest.resources.ram == 4_000_000_000


def test_a_file_of_a_name_alone_is_enough() -> None:
    manifest = Manifest.parse("name: probe\n")
    assert (manifest.kernel, manifest.python, manifest.env, manifest.secrets) == ("", None, {}, [])
    assert not manifest.metadata.idempotent and manifest.metadata.timeout_seconds is None


def test_empty_keys_count_as_absent() -> None:
    manifest = Manifest.parse("name: probe\nenv:\nsecrets:\nmetadata:\nimages:\nfunctions:\ndefault_function:\n")
    assert (manifest.env, manifest.secrets, manifest.default_function) == ({}, [], None)


@pytest.mark.parametrize(
    ("written", "python"),
    [("python-3.10", "3.10"), ("3.10", "3.10"), ("3.11", "3.11"), ('""', None), ("python-3.12", "3.12"), ("x", None)],
)
def test_a_kernel_is_text_also_where_it_looks_like_a_number(written: str, python: str | None) -> None:
    assert Manifest.parse(f"name: n\nkernel: {written}\n").python == python


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, 0),
        (0.5, 500_000_000),
        (4, 4_000_000_000),
        (999, 999_000_000_000),
        (1000, 1_000_000_000),
        (512_000, 512_000_000_000),
        (999_999_999, 999_999_999_000_000),
        (1_000_000_000, 1_000_000_000),
        (4_000_000_000, 4_000_000_000),
    ],
)
def test_a_size_is_gigabytes_megabytes_or_bytes_by_how_big_it_is(size: float, expected: int) -> None:
    assert bytes_of(size) == expected


# -- writing back --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("app:manifest")
def test_what_is_written_back_is_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "inf.yml").write_text(FULL)
    manifest = Manifest.read(tmp_path)
    manifest.write()
    again = Manifest.read(tmp_path / "inf.yml")
    assert again == manifest
    written = (tmp_path / "inf.yml").read_text()
    keys = [line.partition(":")[0] for line in FULL.splitlines() if line[0].isalpha()]
    assert [line.partition(":")[0] for line in written.splitlines() if line[0].isalpha()] == keys
    assert "sandbox:\n  network: none\n" in written
    assert [path.name for path in tmp_path.iterdir()] == ["inf.yml"]


def test_a_changed_manifest_keeps_the_rest(tmp_path: Path) -> None:
    before = Manifest.parse(FULL, path=tmp_path / "inf.yml")
    after = before.changed(metadata={"checksum": "def"}, name="shrink")
    assert after.to_yaml() == before.to_yaml().replace("abc", "def").replace("name: resize", "name: shrink")
    assert before.name == "resize"
    assert Manifest.read(after.write()).name == "shrink"
    with pytest.raises(AppDefinitionError, match="name: a name has no"):
        before.changed(name="a/b")


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"app/inf\.yml: there are no `key: value` lines"),
        ("- a\n- b\n", r"app/inf\.yml: there are no `key: value` lines"),
        ("namespace: acme\n", r"app/inf\.yml: name: Field required"),
        ("name: a\nname: b\n", r"app/inf\.yml:2: name: it is there twice"),
        ("name: a b\n", r"app/inf\.yml:1: name: a name has no .*, not 'a b'"),
        ("name: n\nenv:\n  A: {b: c}\n", r"app/inf\.yml:3: env\.A: .*, not \{'b': 'c'\}"),
        (
            "name: n\nresources:\n  gpu:\n    type: tpu\n",
            r"app/inf\.yml:4: resources\.gpu\.type: .*nvidia.*, not 'tpu'",
        ),
        ("name: n\nresources:\n  ram: 16GB\n", r"app/inf\.yml:3: resources\.ram: a size is a number.*, not '16GB'"),
        ("name: n\nresources:\n  ram: -1\n", r"app/inf\.yml:3: resources\.ram: a size is a number"),
        ("name: n\nresources:\n  gpu: {count: -1}\n", r"app/inf\.yml:3: resources\.gpu\.count: "),
        ("name: n\nsecrets:\n- key: A\n- description: d\n", r"app/inf\.yml:4: secrets\.1\.key: Field required"),
        ("name: n\nsecrets: HF_TOKEN\n", r"app/inf\.yml:2: secrets: .*, not 'HF_TOKEN'"),
        ("name: n\nmetadata: {timeout_seconds: 0}\n", r"app/inf\.yml:2: metadata\.timeout_seconds: .*, not 0"),
        ("name: n\nmetadata: {idempotent: perhaps}\n", r"app/inf\.yml:2: metadata\.idempotent: .*, not 'perhaps'"),
        ("name: n\nenv: {A: b\n", r"app/inf\.yml:\d: this is no YAML: "),
        ("name: n\n\tx: 1\n", r"app/inf\.yml:2: this is no YAML: "),
        ("name: n\nx: \x00\n", r"app/inf\.yml: this is no YAML: "),
        ("name: n\nx: !!python/object:os.system a\n", r"app/inf\.yml:2: x: the tag .* means nothing here"),
        ("name: n\nx: &a [*a]\n", r"app/inf\.yml:2: .*contains itself"),
        ("name: n\n? [a, b]\n: c\n", r"app/inf\.yml:2: : a key is text"),
        ("name: n\nx: *nowhere\n", r"app/inf\.yml:2: this is no YAML: "),
    ],
)
@pytest.mark.requirement("app:manifest")
def test_a_wrong_file_is_an_error_with_file_line_key_and_value(text: str, says: str) -> None:
    with pytest.raises(AppDefinitionError, match=says):
        Manifest.parse(text, path="app/inf.yml")


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(AppDefinitionError) as caught:
        Manifest.parse("name: a/b\nresources: {ram: much}\n")
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == ["inf.yml:1", "inf.yml:2"]


def test_a_file_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AppDefinitionError, match=r"cannot read .*inf\.yml': No such file"):
        Manifest.read(tmp_path)
    (tmp_path / "inf.yml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(AppDefinitionError, match="it is not UTF-8 text"):
        Manifest.read(tmp_path)


def test_without_pyyaml_the_error_is_the_pip_command(tmp_path: Path) -> None:
    (tmp_path / "inf.yml").write_text("name: n\n")
    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from agentkit.apps import Manifest\n"
        "from agentkit.errors import MissingExtraError\n"
        f"try: Manifest.read({str(tmp_path)!r})\n"
        "except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "reading inf.yml needs an extra: pip install 'agentkit[apps]'\n", done.stderr


# -- the version ---------------------------------------------------------------------------------------------------

APP = """
class Setup(BaseAppSetup):
    model: str = "small"

class App(BaseApp):
    async def setup(self, config: Setup): ...
    async def run(self, it: In) -> Out:
        \"\"\"Docstring.\"\"\"
    async def follow(self, it: In) -> AsyncGenerator[Out, None]:
        \"\"\"Follows.\"\"\"
        yield Out(text="")
"""


def version_of(folder: Path, manifest: str) -> dict[str, Any]:
    loaded = load_app(write_app(folder, APP, manifest=manifest))
    assert loaded.manifest
    interface = discover(loaded.app, default_function=loaded.manifest.default_function)
    return loaded.manifest.to_version_input(interface).to_wire()


def test_a_version_says_what_the_platform_needs_to_run_the_app(tmp_path: Path) -> None:
    version = version_of(tmp_path / "app", FULL)
    assert version["kernel"] == "python-3.11" and version["default_function"] == "run"
    assert version["env"] == {"MODEL": "small", "PORT": "8080", "DEBUG": "yes", "EMPTY": ""}
    assert version["resources"] == {
        "gpu": {"count": 1, "vram": 24_000_000_000, "type": "nvidia"},
        "ram": 4_000_000_000,
    }
    assert version["required_secrets"] == [{"key": "HF_TOKEN", "description": "token", "optional": True}]
    assert version["required_integrations"][0]["key"] == "gcp.vertex_ai"
    assert version["metadata"] == {
        "checksum": "abc",
        "idempotent": True,
        "timeout_seconds": 90,
        "since": "2024-01-01",
    }
    assert list(version["setup_schema"]["properties"]) == ["model"]
    assert list(version["functions"]) == ["run", "follow"]
    assert [each["kind"] for each in version["functions"].values()] == ["run", "stream"]
    assert [each["description"] for each in version["functions"].values()] == ["Makes it smaller", "Follows."]
    assert version["input_schema"] == version["functions"]["run"]["input_schema"]


def test_variants_of_older_files_are_kept_and_give_the_resources(tmp_path: Path) -> None:
    text = """\
        name: old
        variants:
          big: {order: 2, resources: {ram: 64}, env: {SIZE: 9}, python: 3.10}
          default: {name: small, order: 1, resources: {ram: 8, gpu: {count: 1, vram: 16, type: any}}}
        """
    version = version_of(tmp_path / "app", text)
    assert version["resources"]["ram"] == 8_000_000_000
    big, small = version["variants"]["big"], version["variants"]["default"]
    assert (big["name"], big["python"], big["env"], small["name"]) == ("big", "3.10", {"SIZE": "9"}, "small")


def test_a_function_that_the_class_lacks_is_an_error_naming_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(AppDefinitionError, match="functions: there is no function 'open'; App has run, follow"):
        version_of(tmp_path / "app", "name: n\nfunctions: [{name: open}]\n")


def test_an_app_may_ask_for_every_kind_of_accelerator_that_the_platform_knows() -> None:
    for kind in GPUType:
        manifest = Manifest.parse(f"name: a\nresources: {{gpu: {{count: 1, type: {kind}}}}}")
        assert manifest.resources.to_wire().gpu == GpuResource(count=1, vram=0, type=kind)
    with pytest.raises(AppDefinitionError, match="'any', 'none', 'intel', 'nvidia', 'amd' or 'apple', not 'tpu'"):
        Manifest.parse("name: a\nresources: {gpu: {type: tpu}}")
