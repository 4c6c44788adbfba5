"""An app folder as a zip: the same bytes for the same files, whoever packs them, whenever.

Left out: version control, caches, virtual environments, `node_modules`, and what `.infignore` names. Its lines are as
in `.gitignore`: `*.ckpt`, `/data/`, `docs/**/*.png`, `!docs/keep.png`, `# a comment`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentkit.client.sources import FileSource
from agentkit.errors import UsageError

__all__ = ["IGNORE_FILE", "Bundle", "files_of", "pack"]

IGNORE_FILE: Final = ".infignore"
MAX_FILES: Final = 10_000
MAX_BYTES: Final = 1 << 30  # before packing
CHUNK_BYTES: Final = 1 << 20
EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say
LEVEL: Final = 6

_SKIPPED_FOLDERS: Final = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", ".tox", ".idea", ".vscode", "__MACOSX",
    }
)  # fmt: skip
_SKIPPED_FILES: Final = frozenset({".DS_Store", "Thumbs.db", IGNORE_FILE})
_SKIPPED_ENDS: Final = (".pyc", ".pyo")
_VENV: Final = "pyvenv.cfg"  # marks a virtual environment under any name
_IMPORTS_SDK: Final = re.compile(rb"^\s*(?:from|import)\s+inferencesh\b", re.MULTILINE)

Progress = Callable[[int, int], Any]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A packed folder. `source` removes its temporary file when nobody needs it any more."""

    source: FileSource
    sha256: str
    files: int
    imports_sdk: bool  # `import inferencesh` stands in it


def pack(folder: str | os.PathLike[str], *, on_progress: Progress | None = None) -> Bundle:
    """Packs a folder into a temporary zip. Raises UsageError for one that is none, or holds too much."""
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{str(root)!r} is no folder; give the one that holds inf.yml")
    names = list(files_of(root))
    _check_size(root, names)
    descriptor, path = tempfile.mkstemp(prefix="agentkit-bundle-", suffix=".zip")
    imports_sdk = False
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive,
        ):
            for place, name in enumerate(names):
                imports_sdk |= _add(archive, root, name)
                if on_progress is not None:
                    on_progress(place + 1, len(names))
        return Bundle(FileSource(path, is_ours=True), _sha256(path), len(names), imports_sdk)
    except BaseException:
        os.unlink(path)
        raise


def files_of(root: Path) -> Iterator[str]:
    """The names of what belongs in the bundle, with `/` between folders, in order."""
    rules = _rules(root)
    yield from sorted(_walk(root, "", rules))


def _walk(root: Path, inside: str, rules: list[_Rule]) -> Iterator[str]:
    with os.scandir(root / inside) as entries:
        for entry in entries:
            name = f"{inside}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_skipped(entry, is_folder=is_folder) or _is_ignored(name, rules, is_folder=is_folder):
                continue
            if is_folder:
                yield from _walk(root, f"{name}/", rules)
            elif entry.is_symlink():
                _check_link(root, name)
                yield name
            elif entry.is_file():
                yield name


def _is_skipped(entry: os.DirEntry[str], *, is_folder: bool) -> bool:
    if is_folder:
        return entry.name in _SKIPPED_FOLDERS or os.path.exists(os.path.join(entry.path, _VENV))
    return entry.name in _SKIPPED_FILES or entry.name.endswith(_SKIPPED_ENDS)


def _check_link(root: Path, name: str) -> None:
    target = (root / name).resolve()
    if not target.is_relative_to(root.resolve()) or not target.is_file():
        raise UsageError(
            f"{name!r} is a link to {str(target)!r}, which is no file of this folder; copy the file, or add the link's "
            f"name to {IGNORE_FILE}"
        )


# -- .infignore ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    is_kept: bool  # written with a !
    folders_only: bool


def _rules(root: Path) -> list[_Rule]:
    try:
        text = (root / IGNORE_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {str(root / IGNORE_FILE)!r}: {error}") from None
    lines = (line.strip() for line in text.splitlines())
    return [_rule(line) for line in lines if line and not line.startswith("#")]


def _rule(line: str) -> _Rule:
    is_kept = line.startswith("!")
    body = line.removeprefix("!").removeprefix("\\")
    folders_only = body.endswith("/")
    body = body.rstrip("/")
    anchored = "/" in body
    prefix = "" if anchored else r"(?:.*/)?"
    return _Rule(re.compile(prefix + _translated(body.lstrip("/"))), is_kept, folders_only)


_GLOBS: Final = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)


def _translated(glob: str) -> str:
    """A glob as a regular expression: `**` crosses folders, `*` and `?` do not."""
    parts: list[str] = []
    for token in _GLOBS.findall(glob):
        match token:
            case "**/":
                parts.append(r"(?:.*/)?")
            case "/**":
                parts.append(r"/.*")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if len(token) > 1:
                inner = token[1:-1]
                negated = inner[:1] in ("!", "^")
                letters = (
                    (inner[1:] if negated else inner).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
                )
                parts.append(f"[{'^' if negated else ''}{letters}]")
            case _:
                parts.append(re.escape(token))
    return "".join(parts)


def _is_ignored(name: str, rules: list[_Rule], *, is_folder: bool) -> bool:
    """The last rule that matches decides; what is inside an ignored folder is not looked at (as git does)."""
    ignored = False
    for rule in rules:
        if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(name):
            ignored = not rule.is_kept
    return ignored


# -- the zip -------------------------------------------------------------------------------------------------------


def _check_size(root: Path, names: list[str]) -> None:
    if not names:
        raise UsageError(f"{str(root)!r} holds nothing to deploy")
    if len(names) > MAX_FILES:
        raise UsageError(f"{len(names)} files, at most {MAX_FILES}: name what is not needed in {IGNORE_FILE}")
    sizes = {name: (root / name).stat().st_size for name in names}
    if (total := sum(sizes.values())) > MAX_BYTES:
        largest = ", ".join(f"{name} ({sizes[name]:,})" for name in sorted(sizes, key=lambda each: -sizes[each])[:3])
        raise UsageError(
            f"{total:,} bytes, at most {MAX_BYTES:,}: name what is not needed in {IGNORE_FILE}; largest: {largest}"
        )


def _add(archive: zipfile.ZipFile, root: Path, name: str) -> bool:
    """Adds a file; says whether it imports the SDK."""
    path = root / name
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # unix, on every system
    entry.external_attr = (stat.S_IFREG | (0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)) << 16
    found = False
    with path.open("rb") as source, archive.open(entry, "w") as target:
        while chunk := source.read(CHUNK_BYTES):
            found = found or (name.endswith(".py") and _IMPORTS_SDK.search(chunk) is not None)
            target.write(chunk)
    return found


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
