"""The interpreters of apps: ours where it has everything, else an environment made once, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from agentkit.errors import AppError
from agentkit.runtime import requirements
from agentkit.runtime.builds import build_variables
from agentkit.runtime.environments import Environments
from agentkit.runtime.interpreters import Interpreter, interpreter_for
from tests.runtime.deploying import FILES, Shop, deploying, write_app

pytestmark = pytest.mark.heavy  # real processes

SLOW = pytest.mark.timeout(180)  # each makes an environment or two
DIST = "agentkit_test_greeting"


def wheel(folder: Path, name: str = DIST, version: str = "1.2", *, needs: str = "") -> Path:
    """A wheel made by hand: one module that says hello."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    files = {
        f"{name}.py": f"WORD = 'hello {version}'\n",
        f"{about}/METADATA": head,
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{each},,\n" for each in [*files, f"{about}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(each, content)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip looks in, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def said_by(python: Path, program: str) -> str:
    """What a program prints under this interpreter, away from any checkout."""
    done = subprocess.run([str(python), "-P", "-c", program], capture_output=True, text=True, cwd="/", timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def python_of(shop: Shop, **files: str) -> Path:
    """Deploys an app with these files more; the interpreter it is run with."""
    made = await shop.deploy({**FILES, **{name.replace("_", "."): text for name, text in files.items()}}, name="app")
    return (await shop.source(made["version_id"])).python


# -- ours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n\n", "pydantic\nhttpx >= 0.27, < 1  # both are here\nagentkit==99"])
async def test_an_app_that_lacks_nothing_runs_on_our_own_interpreter(text: str) -> None:
    async with deploying() as shop:
        assert await python_of(shop, requirements_txt=text) == Path(sys.executable)
        assert shop.built == []


async def test_the_official_package_is_not_installed_where_agentkit_stands_in_for_it() -> None:
    async with deploying() as shop:
        files = {**FILES, "requirements.txt": "inferencesh>=0.7\n", "inference.py": "from inferencesh import BaseApp\n"}
        source = await shop.source((await shop.deploy(files))["version_id"])
        assert (source.python, source.is_compat) == (Path(sys.executable), True)


async def test_system_packages_are_named_in_the_log_and_not_installed() -> None:
    async with deploying() as shop:
        await python_of(shop, packages_txt="ffmpeg\n# a comment\nlibgl1\n")
        assert "not installed here" in "".join(shop.built) and "ffmpeg libgl1" in "".join(shop.built)


@pytest.mark.parametrize(
    ("line", "is_met"),
    [
        ("idna", True),
        ("IDNA", True),
        ("idna==3.10", True),
        ("idna==3.10.0", True),
        ("idna>=3,<4", True),
        ("idna ~= 3.4", True),
        ("idna~=3.10.0", True),
        ("idna~=3.11", False),
        ("idna~=2.4", False),
        ("idna!=3.10", False),
        ("idna>3.10", False),
        ("idna<=3.9", False),
        ("idna==3.*", False),  # not plain: pip decides
        ("idna[extra]", False),
        ("idna; python_version > '3'", False),
        ("odd>=1", False),
        ("odd", True),
        ("nothere", False),
        ("./idna.whl", False),
        ("-r more.txt", False),
        ("idna @ https://example.com/idna.whl", False),
    ],
)
def test_only_what_is_plain_is_decided_without_pip(line: str, is_met: bool) -> None:
    assert requirements.met(line, {"idna": "3.10", "odd": "1.0rc1"}) is is_met


# -- kernels -------------------------------------------------------------------------------------------------------

OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize("kernel", ["", f"python-{OURS}", OURS, f"python{OURS}", "python"])
def test_a_kernel_that_is_ours_or_says_nothing_means_ours(kernel: str) -> None:
    assert interpreter_for(kernel) == (Interpreter(Path(sys.executable), sys.version_info[:2], True), "")


def test_a_kernel_that_is_newer_and_not_here_is_an_error_and_one_too_old_a_remark() -> None:
    with pytest.raises(AppError, match=r"python-3\.99, which is not on this machine"):
        interpreter_for("python-3.99")
    found, remark = interpreter_for("python-3.10")
    assert found.is_ours
    assert remark == f"the app's kernel is python-3.10, but agentkit needs 3.11 or later: it runs on python-{OURS}"


def test_a_kernel_that_is_on_this_machine_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, told in (("python3.98", "3 98"), ("python3.97", "3 96")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {told}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert interpreter_for("3.98")[0] == Interpreter(tmp_path / "python3.98", (3, 98), False)
    with pytest.raises(AppError, match="not on this machine"):  # what it says of itself counts
        interpreter_for("3.97")


# -- made ones -----------------------------------------------------------------------------------------------------


@SLOW
@pytest.mark.asyncio_only
@pytest.mark.requirement("app:environments")
async def test_what_is_lacking_is_installed_once_and_ours_stays_behind_it(tmp_path: Path, index: Path) -> None:
    wheel(index)
    text, db = f"pydantic\n{DIST}>=1.0  # ours\n", tmp_path / "a.db"
    async with deploying(db) as shop:
        found: list[Path] = []
        made = await shop.deploy({**FILES, "requirements.txt": text}, name="first")
        async with anyio.create_task_group() as group:  # three at once, one environment
            for _ in range(3):
                group.start_soon(ask, shop, made["version_id"], found)
        second = await shop.deploy({**FILES, "requirements.txt": text, "more.txt": ""}, name="second")
        found.append((await shop.source(second["version_id"])).python)
        assert len(set(found)) == 1 and found[0] != Path(sys.executable)
        said = "".join(shop.built)
        assert (said.count("Successfully installed"), said.count("waiting for it")) == (1, 2)
        program = f"import {DIST}, pydantic, agentkit.apps; print({DIST}.WORD, pydantic.VERSION)"
        import pydantic

        assert said_by(found[0], program) == f"hello 1.2 {pydantic.VERSION}"
    async with deploying(db) as shop:
        assert (await shop.source(made["version_id"])).python == found[0]
        assert (shop.prepared, shop.built) == (0, [])


async def ask(shop: Shop, version_id: str, found: list[Path]) -> None:
    """Makes the app ready and notes its interpreter."""
    found.append((await shop.source(version_id)).python)


@SLOW
@pytest.mark.trio_only
async def test_what_pip_refuses_is_the_error_and_the_next_attempt_begins_anew(tmp_path: Path, index: Path) -> None:
    async with deploying(tmp_path / "a.db") as shop:
        made = await shop.deploy({**FILES, "requirements.txt": f"{DIST}\n"})
        with pytest.raises(AppError, match="No matching distribution found"):
            await shop.source(made["version_id"])
        assert os.listdir(shop.workshop.folder / ".environments") == []
        wheel(index)
        source = await shop.source(made["version_id"])
        assert said_by(source.python, f"import {DIST}; print({DIST}.WORD)") == "hello 1.2"


@SLOW
@pytest.mark.asyncio_only
@pytest.mark.thorough
async def test_requirements_may_name_files_of_the_app_and_other_lists(tmp_path: Path, index: Path) -> None:
    path = wheel(tmp_path / "own")
    files = {
        **FILES,
        "requirements.txt": "-r more/list.txt\n",
        "more/list.txt": f"./libs/{path.name}\n",
        f"libs/{path.name}": path.read_bytes(),
        "types.py": "raise ImportError('the app is not to be imported by pip')\n",
    }
    async with deploying() as shop:
        source = await shop.source((await shop.deploy(files))["version_id"])
        assert said_by(source.python, f"import {DIST}; print({DIST}.WORD)") == "hello 1.2"


def processes_with(word: str) -> list[int]:
    """The processes whose command line has the word in it."""
    found: list[int] = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdecimal() and word.encode() in (each / "cmdline").read_bytes():
                found.append(int(each.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def sleeper(tmp_path: Path) -> tuple[dict[str, str | bytes], Path]:
    """An app whose requirement sleeps while it is built, and a file that says when it does."""
    mark = tmp_path / "mark"
    backend = (
        "import pathlib, time\n"
        "def get_requires_for_build_wheel(config_settings=None):\n    return []\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        f"    pathlib.Path({str(mark)!r}).write_text('here')\n    time.sleep(600)\n"
    )
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files: dict[str, str | bytes] = {
        **FILES, "requirements.txt": "./slow\n", "slow/pyproject.toml": project, "slow/backend.py": backend,
    }  # fmt: skip
    return files, mark


async def until(is_so: Callable[[], bool]) -> None:
    """Returns when it is so; a minute at most."""
    with anyio.fail_after(60):
        while not is_so():
            await anyio.sleep(0.05)


@SLOW
@pytest.mark.asyncio_only
async def test_who_gives_up_waiting_ends_pip_and_leaves_nothing(tmp_path: Path, index: Path) -> None:
    files, mark = sleeper(tmp_path)
    async with deploying(tmp_path / "a.db") as shop:
        made = await shop.deploy(files)
        async with anyio.create_task_group() as group:
            group.start_soon(shop.source, made["version_id"])
            await until(mark.exists)
            group.cancel_scope.cancel()
        place = shop.workshop.folder / ".environments"
        assert os.listdir(place) == []
        await until(lambda: not processes_with(str(place)))


BUILDING = """
import sys
import anyio
from pathlib import Path
from agentkit.runtime.environments import Environments

async def main():
    made = Environments(lambda: Path(sys.argv[2]))
    await made.python_for(Path(sys.argv[1]), kernel="", identity="x", is_compat=False, log=lambda text: None,
                          preparing=anyio.lowlevel.checkpoint)
anyio.run(main)
"""


@SLOW
@pytest.mark.asyncio_only
@pytest.mark.thorough
async def test_an_environment_that_a_killed_server_left_half_way_is_made_anew(tmp_path: Path, index: Path) -> None:
    files, mark = sleeper(tmp_path)
    app, place = write_app(tmp_path / "app", files), tmp_path / "environments"
    with subprocess.Popen([sys.executable, "-c", BUILDING, str(app), str(place)]) as process:
        await until(mark.exists)
        os.kill(process.pid, signal.SIGKILL)
    for pid in processes_with(str(place)):
        os.kill(pid, signal.SIGKILL)  # what pip started is nobody's now
    [left] = os.listdir(place)
    ready = wheel(tmp_path / "ready")
    copies = f"def build_wheel(folder, *more):\n    return shutil.copy({str(ready)!r}, folder).rsplit('/')[-1]\n"
    (app / "slow" / "backend.py").write_text("import shutil\n" + copies)
    python = await Environments(lambda: place).python_for(
        app, kernel="", identity="x", is_compat=False, log=print, preparing=anyio.lowlevel.checkpoint
    )
    assert said_by(python, f"import {DIST}; print({DIST}.WORD)") == "hello 1.2"
    assert left not in os.listdir(place)


def test_a_build_sees_none_of_the_servers_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AGENTKIT_API_KEY", "inf_secret")
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.com/simple")
    seen = build_variables()
    assert "PIP_INDEX_URL" in seen and "PATH" in seen
    assert not [value for value in seen.values() if "secret" in value]
