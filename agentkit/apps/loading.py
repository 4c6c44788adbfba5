"""Importing an app's folder as a package of its own (protocol.md 5.5).

`from .helper import x` and `import helper` in the app's files both mean the file next to them, and the same module.
Nothing is put on `sys.path`, so two apps with a `helper.py` each do not see the other's.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from agentkit.apps.compat import alias_inferencesh
from agentkit.apps.discovery import find_app
from agentkit.apps.manifest import FILE_NAME, Manifest
from agentkit.errors import AppDefinitionError

__all__ = ["LoadedApp", "load_app"]

ENTRY: Final = "inference"
PREFIX: Final = "agentkit_app_"


@dataclass(frozen=True)
class LoadedApp:
    """An app's class, with where it came from; `manifest` is None where the folder has no inf.yml."""

    app: type
    module: ModuleType
    folder: Path
    manifest: Manifest | None


def load_app(folder: str | Path, *, compat: bool = False) -> LoadedApp:
    """Imports `inference.py` of the folder, anew each time. `compat`: `import inferencesh` means agentkit.

    Raises AppDefinitionError: no such folder, not a Python app, an import that fails (with its cause), no class.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise AppDefinitionError(f"there is no app folder {str(folder)!r}")
    manifest = Manifest.read(folder) if (folder / FILE_NAME).exists() else None
    _check_is_python(folder, manifest)
    if compat:
        alias_inferencesh()
    module = _import(folder)
    return LoadedApp(find_app(module), module, folder, manifest)


def _check_is_python(folder: Path, manifest: Manifest | None) -> None:
    kernel = manifest.kernel if manifest else ""
    if kernel.startswith("node"):
        raise AppDefinitionError(f"{folder / FILE_NAME}: kernel: {kernel!r} apps cannot run here, only Python ones")
    if not (folder / f"{ENTRY}.py").is_file():
        is_node = (folder / "src" / f"{ENTRY}.js").is_file()
        why = "it is a Node app, and only Python apps run here" if is_node else f"it has no {ENTRY}.py"
        raise AppDefinitionError(f"{str(folder)!r} is no app: {why}")


def _import(folder: Path) -> ModuleType:
    package = f"{PREFIX}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    _forget(package)
    _Finder.install(package, folder)
    try:
        return importlib.import_module(f"{package}.{ENTRY}")
    except (Exception, SystemExit) as error:
        _forget(package)
        raise AppDefinitionError(f"cannot import {folder / ENTRY}.py: {_reason(error, folder)}") from error


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def _reason(error: BaseException, folder: Path) -> str:
    says = str(error).partition("\n\n")[0]  # pydantic goes on with how it works inside
    reason = f"{type(error).__name__}: {says}{_place(error, folder)}"
    if not isinstance(error, ModuleNotFoundError):
        return reason
    if (error.name or "").partition(".")[0] == "inferencesh":
        return f"{reason}; load it with compat=True, or import from agentkit.apps instead"
    return f"{reason}; is it in requirements.txt, and installed here?"


def _place(error: BaseException, folder: Path) -> str:
    """Where in the app's own files it happened; a SyntaxError says so itself."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_relative_to(folder)]
    if not frames or isinstance(error, SyntaxError):
        return ""
    return f" (line {frames[-1].lineno} of {Path(frames[-1].filename).relative_to(folder)})"


class _Finder(MetaPathFinder):
    """Finds the packages of apps, and gives their modules an import that looks next to them first."""

    folders: Final[dict[str, Path]] = {}

    @classmethod
    def install(cls, package: str, folder: Path) -> None:
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())
        cls.folders[package] = folder
        importlib.invalidate_caches()  # the folder may have been written a moment ago

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = fullname.partition(".")[0]
        folder = self.folders.get(package)
        if folder is None:
            return None
        spec = _package_spec(package, folder) if fullname == package else PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path, _import_of(package, folder))
        return spec


def _package_spec(package: str, folder: Path) -> ModuleSpec | None:
    entry = folder / "__init__.py"
    if entry.is_file():
        return importlib.util.spec_from_file_location(package, entry, submodule_search_locations=[str(folder)])
    spec = ModuleSpec(package, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec


class _Loader(SourceFileLoader):
    """Runs a module with an `__import__` of its own."""

    def __init__(self, fullname: str, path: str, local_import: Callable[..., Any]) -> None:
        super().__init__(fullname, path)
        self._import = local_import

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)


@functools.cache
def _import_of(package: str, folder: Path) -> Callable[..., Any]:
    """The `__import__` of an app's modules: a file of the app counts before an installed package."""

    @functools.cache
    def is_local(name: str) -> bool:
        if name in sys.stdlib_module_names:
            return False
        if (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file():
            return True
        return (folder / name).is_dir() and importlib.util.find_spec(name) is None

    def local_import(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = name.partition(".")[0]
        if level or not is_local(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or (), 0)
        return module if fromlist else sys.modules[f"{package}.{top}"]

    return local_import
