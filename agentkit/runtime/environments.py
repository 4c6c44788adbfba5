"""The interpreters of apps: this one where it has all they ask for, else a virtual environment made once and kept.

An environment is a folder with a name of its own that a link points to once it is whole: one that was left half-way is
never used, and two processes that make the same do not meet.

    <db>.apps/.environments/3f9c...            link to the folder below
    <db>.apps/.environments/3f9c....4711-a1b2c3d4-1/  made by process 4711
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

import agentkit
from agentkit.errors import AppError
from agentkit.runtime import requirements
from agentkit.runtime.builds import Log, build
from agentkit.runtime.interpreters import Interpreter, interpreter_for
from agentkit.runtime.leftovers import in_the_making, leftovers

__all__ = ["Environments"]

REQUIREMENTS, PACKAGES = "requirements.txt", "packages.txt"
NEEDED: Final = ("pydantic", "httpx", "anyio", "tenacity", "jsonschema", "referencing", "PyYAML")


class Environments:
    """The environments in a folder, which is made when the first is."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._installed: Mapping[str, str] | None = None

    async def python_for(
        self,
        app: Path,
        *,
        kernel: str,
        identity: str,
        is_compat: bool,
        log: Log,
        preparing: Callable[[], Awaitable[object]],
    ) -> Path:
        """The interpreter to run the app's folder with. Raises AppError, with what pip said last.

        `identity` tells versions of the app apart, where its requirements name files of its own.
        """
        interpreter, remark = await anyio.to_thread.run_sync(interpreter_for, kernel)
        if remark:
            log(f"{remark}\n")
        await self._tell_packages(app, log)
        wanted = [
            line
            for line in requirements.lines(await _text(app / REQUIREMENTS))
            if not requirements.is_provided(line, is_compat=is_compat)
        ]
        if interpreter.is_ours and not requirements.lacking(wanted, await self._here()):
            return interpreter.path
        key = _key(interpreter, wanted, identity=identity)
        if self._turns[key].locked():
            await preparing()
            log("an environment for the same requirements is being made; waiting for it\n")
        async with self._turns[key]:
            place = self._folder() / key
            if not _python_of(place).exists():
                await preparing()
                await _Build(place, interpreter, app, wanted, log).run()
        return _python_of(place)

    async def _here(self) -> Mapping[str, str]:
        if self._installed is None:
            self._installed = await anyio.to_thread.run_sync(requirements.installed)
        return self._installed

    @staticmethod
    async def _tell_packages(app: Path, log: Log) -> None:
        if named := " ".join(requirements.lines(await _text(app / PACKAGES))):
            log(f"{PACKAGES}: system packages are not installed here; have them on this machine: {named}\n")


# -- making one ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Build:
    """One environment in the making."""

    place: Path
    interpreter: Interpreter
    app: Path
    wanted: Sequence[str]
    log: Log

    async def run(self) -> None:
        folder = in_the_making(self.place)
        await anyio.to_thread.run_sync(_sweep, self.place)
        try:
            await self._make(folder)
            await anyio.to_thread.run_sync(_link, self.place, folder)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
            if isinstance(error, OSError):
                raise AppError(f"no environment can be made in {str(folder.parent)!r}: {error.strerror}") from None
            raise

    async def _make(self, folder: Path) -> None:
        self.log(f"making an environment of {self.interpreter} for {', '.join(self.wanted) or 'the app'}\n")
        folder.mkdir(parents=True)
        await self._run([str(self.interpreter.path), "-I", "-m", "venv", str(folder)], what="an environment")
        site = _site_of(folder, self.interpreter)
        if self.interpreter.is_ours:
            await anyio.to_thread.run_sync(_share, site)
        else:
            await anyio.to_thread.run_sync(_lend, site)
        listed = folder / REQUIREMENTS
        own = [] if self.interpreter.is_ours else _needed()
        listed.write_text("".join(f"{line}\n" for line in [*own, *map(self._placed, self.wanted)]), encoding="utf-8")
        pip = [str(_python_of(folder)), "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        await self._run([*pip, "--progress-bar", "off", "-r", str(listed)], what=REQUIREMENTS)

    async def _run(self, command: Sequence[str], *, what: str) -> None:
        said = f"{what} cannot be installed with {self.interpreter}"
        await build(command, what=said, folder=self.app, log=self.log)

    def _placed(self, line: str) -> str:
        """The line as it reads in another folder: files that it names lie in the app's."""
        option, blank, path = line.partition(" ")
        if option in ("-r", "-c", "--requirement", "--constraint") and blank:
            return f"{option} {self.app / path.strip()}"
        return line


# -- parts ---------------------------------------------------------------------------------------------------------


async def _text(path: Path) -> str:
    """The text of a file; "" where there is none."""
    try:
        return await anyio.Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise AppError(f"{path.name} of the app cannot be read: {error.strerror}") from None


def _key(interpreter: Interpreter, wanted: Sequence[str], *, identity: str) -> str:
    """What two apps must have in common to share an environment."""
    of_its_own = any(line[0] in "-./" or "/" in line for line in wanted)  # a file of the app, perhaps
    parts = [str(interpreter.path), str(interpreter), sys.prefix, *wanted, identity if of_its_own else ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _site_of(environment: Path, interpreter: Interpreter) -> Path:
    if os.name == "nt":
        return environment / "Lib" / "site-packages"
    return environment / "lib" / f"python{interpreter.version[0]}.{interpreter.version[1]}" / "site-packages"


def _share(site: Path) -> None:
    """Puts this process's packages behind the environment's own."""
    shared = [
        path for path in sys.path if Path(path).name in ("site-packages", "dist-packages") and Path(path).is_dir()
    ]
    lines = [f"import site; site.addsitedir({path!r})" for path in shared]
    (site / "zz_agentkit.pth").write_text("\n".join([*lines, str(_package().parent)]) + "\n", encoding="utf-8")


def _lend(site: Path) -> None:
    """Puts agentkit alone into an environment of another Python, whose other packages could not be shared."""
    (site / "agentkit").symlink_to(_package(), target_is_directory=True)


def _package() -> Path:
    return Path(agentkit.__file__).resolve().parent


def _needed() -> list[str]:
    """What a worker needs beside the app, at our versions."""
    here = requirements.installed()
    return [
        f"{name}=={here[requirements.normalized(name)]}" for name in NEEDED if requirements.normalized(name) in here
    ]


def _sweep(place: Path) -> None:
    """Removes what was left half-way; not what is in use, though the process that made it is gone."""
    for each in leftovers(place):
        if not (place.is_symlink() and place.resolve() == each.resolve()):
            shutil.rmtree(each, ignore_errors=True)


def _link(place: Path, folder: Path) -> None:
    """Makes the environment the one that is used; what was there, made by another process, stays for its users."""
    temporary = place.with_name(f"{folder.name}.link")
    temporary.symlink_to(folder.name, target_is_directory=True)
    os.replace(temporary, place)
