"""The Pythons of this machine, and which of them a kernel such as `python-3.11` means."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentkit.errors import AppError

__all__ = ["Interpreter", "interpreter_for"]

OLDEST: Final = (3, 11)  # that agentkit runs on


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python of this machine; `is_ours`: the one that runs this process, whose packages can be shared."""

    path: Path
    version: tuple[int, int]
    is_ours: bool

    def __str__(self) -> str:
        return f"python-{self.version[0]}.{self.version[1]}"


def interpreter_for(kernel: str) -> tuple[Interpreter, str]:
    """The Python that a kernel means here, and a remark where it is another than it says. Blocks; raises AppError."""
    ours = Interpreter(Path(sys.executable), sys.version_info[:2], is_ours=True)
    wanted = _version_in(kernel)
    if wanted is None or wanted == ours.version:
        return ours, ""
    if wanted >= OLDEST and (found := _find(wanted)) is not None:
        return found, ""
    said = f"the app's kernel is python-{wanted[0]}.{wanted[1]}"
    if wanted > ours.version:
        raise AppError(f"{said}, which is not on this machine; install it so that `python{wanted[0]}.{wanted[1]}` runs")
    why = "agentkit needs 3.11 or later" if wanted < OLDEST else "it is not on this machine"
    return ours, f"{said}, but {why}: it runs on {ours}"


def _version_in(kernel: str) -> tuple[int, int] | None:
    """The version that a kernel names: `python-3.11`, `3.11`; None where it names none."""
    major, dot, rest = kernel.removeprefix("python").lstrip("-").partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if dot and major.isdecimal() and minor.isdecimal() else None


def _find(version: tuple[int, int]) -> Interpreter | None:
    """The interpreter of this version on the PATH, if it runs."""
    name = f"python{version[0]}.{version[1]}"
    path = shutil.which(name)
    if path is None:
        return None
    program = "import sys; print(*sys.version_info[:2])"
    try:
        told = subprocess.run([path, "-I", "-c", program], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    is_right = told.stdout.split() == [str(part) for part in version]
    return Interpreter(Path(path), version, is_ours=False) if is_right else None
