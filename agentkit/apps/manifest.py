"""`inf.yml`: what an app is called and what it needs (protocol.md 5.4).

Sizes in it are numbers below 1000 for GB, below 1e9 for MB, else bytes; here they are bytes. Unknown keys are kept and
written back, in the order of the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from agentkit.apps.discovery import AppInterface
from agentkit.apps.yaml import Document, dump_yaml, read_yaml
from agentkit.errors import AppDefinitionError

if TYPE_CHECKING:  # `wire` takes long, and a worker needs none of it
    from agentkit.wire import AppFunction, AppResources, AppVariant, AppVersionInput

__all__ = ["FILE_NAME", "Manifest", "bytes_of"]

FILE_NAME: Final = "inf.yml"
TEXTS: Final = ("namespace", "name", "description", "agent_description", "category", "kernel", "default_function")


def bytes_of(size: float) -> int:
    """The bytes that a size in inf.yml stands for.

    >>> bytes_of(4), bytes_of(512), bytes_of(1500), bytes_of(4_000_000_000)
    (4000000000, 512000000000, 1500000000, 4000000000)
    """
    if size < 1000:
        return round(size * 1_000_000_000)
    return round(size * 1_000_000) if size < 1_000_000_000 else round(size)


def _size(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("a size is a number: below 1000 it is GB, below 1e9 MB, else bytes")
    return bytes_of(value)


def _named(value: str) -> str:
    if any(letter in "/@:" or letter.isspace() for letter in value):
        raise ValueError("a name has no '/', '@', ':' and no spaces; references are made of them")
    return value


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


def _none_is_no_entry(value: Any) -> Any:
    return [] if value is None else value


Bytes: TypeAlias = Annotated[int, BeforeValidator(_size)]
Name: TypeAlias = Annotated[str, AfterValidator(_named)]
GpuKind: TypeAlias = Literal["any", "none", "intel", "nvidia", "amd", "apple"]  # wire.GPUType
Texts: TypeAlias = Annotated[dict[str, str], BeforeValidator(_none_is_empty)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Gpu(_Part):
    """The accelerators: `vram` in bytes, of each."""

    count: int = Field(default=0, ge=0)
    vram: Bytes = 0
    type: GpuKind = "none"


class Resources(_Part):
    """The machine: `ram` in bytes."""

    gpu: Gpu = Gpu()
    ram: Bytes = 0

    def to_wire(self) -> AppResources:
        """As the platform stores it."""
        from agentkit.wire import AppResources, GpuResource, GPUType

        gpu = GpuResource(count=self.gpu.count, vram=self.gpu.vram, type=GPUType(self.gpu.type))
        return AppResources(gpu=gpu, ram=self.ram)


class Need(_Part):
    """A secret (`HF_TOKEN`) or integration (`gcp.vertex_ai`) that the app reads."""

    key: str = Field(min_length=1)
    description: str | None = None
    optional: bool = False


class FunctionNote(_Part):
    """What inf.yml says of a function."""

    name: str = Field(min_length=1)
    description: str | None = None


class Variant(_Part):
    """A way to run the app on other machines, in files of 2025."""

    name: str = ""
    order: int = 0
    resources: Resources = Resources()
    env: Texts = Field(default_factory=dict[str, str])
    python: str = ""


class Remarks(_Part):
    """`metadata`: what is known of it, and whatever else the author keeps there.

    `idempotent`: a task may be run again after its worker died. `timeout_seconds`: how long one may take.
    """

    idempotent: bool = False
    timeout_seconds: float | None = Field(default=None, gt=0)


Needs: TypeAlias = Annotated[list[Need], BeforeValidator(_none_is_no_entry)]
Notes: TypeAlias = Annotated[list[FunctionNote], BeforeValidator(_none_is_no_entry)]


class Manifest(BaseModel):
    """An `inf.yml`, checked. `env` values are text, as a process sees them; sizes are bytes."""

    model_config = ConfigDict(extra="allow", frozen=True)

    namespace: Name = ""
    name: Name = Field(min_length=1)
    description: str = ""
    agent_description: str = ""
    category: str = ""
    kernel: str = ""
    default_function: str | None = None
    images: Texts = Field(default_factory=dict[str, str])
    metadata: Annotated[Remarks, BeforeValidator(_none_is_empty)] = Remarks()
    env: Texts = Field(default_factory=dict[str, str])
    secrets: Needs = Field(default_factory=list[Need])
    integrations: Needs = Field(default_factory=list[Need])
    functions: Notes = Field(default_factory=list[FunctionNote])
    resources: Resources = Resources()
    variants: dict[str, Variant] = Field(default_factory=dict[str, Variant])

    _path: Path = PrivateAttr(default=Path(FILE_NAME))
    _written: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The manifest of a folder, or of the file itself. Raises AppDefinitionError naming file, line and key."""
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise AppDefinitionError(f"cannot read {str(path)!r}: {reason}; an app folder has an {FILE_NAME}") from None
        return cls.parse(text, path=path)

    @classmethod
    def parse(cls, text: str, *, path: str | Path = FILE_NAME) -> Self:
        """The manifest of this text. `path` names it in errors, and is where `write` goes."""
        document = read_yaml(text, path=str(path), is_text=_is_text)
        try:
            manifest = cls.model_validate(document.data)
        except ValidationError as misses:
            raise AppDefinitionError(_told(misses, document)) from None
        manifest._path = Path(path)
        manifest._written = document.data
        return manifest

    @property
    def path(self) -> Path:
        """Where it was read."""
        return self._path

    @property
    def python(self) -> str | None:
        """The Python version it asks for, "3.11"; None where it says nothing of the kind."""
        version = self.kernel.removeprefix("python-").removeprefix("python")
        return version if version[:1].isdigit() else None

    def changed(self, **values: Any) -> Self:
        """A manifest with these keys set, objects merged into what is there: `changed(metadata={"checksum": "1f"})`."""
        written = {**self._written}
        for name, value in values.items():
            before = written.get(name)
            written[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, Mapping) else value
        return self.parse(dump_yaml(written), path=self._path)

    def to_yaml(self) -> str:
        """The text of the file: what was read, keys in their order. Comments are not kept."""
        return dump_yaml(self._written)

    def write(self, path: str | Path | None = None) -> Path:
        """Writes the file, whole or not at all."""
        target = Path(path) if path else self._path
        target = target / FILE_NAME if target.is_dir() else target
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(self.to_yaml(), encoding="utf-8")
        os.replace(temporary, target)
        return target

    def to_version_input(self, interface: AppInterface) -> AppVersionInput:
        """The version that a deployer sends. Raises AppDefinitionError for functions that the class does not have."""
        from agentkit.wire import AppVersionInput, RequiredIntegration, RequiredSecret

        default = interface.functions.get(interface.default_function or "")
        return AppVersionInput(
            metadata=self.metadata.model_dump(exclude_unset=True),
            setup_schema=interface.setup_schema,
            input_schema=default.input_schema if default else None,
            output_schema=default.output_schema if default else None,
            functions=self.functions_of(interface),
            default_function=interface.default_function,
            variants={name: _variant(name, each) for name, each in self.variants.items()},
            env=dict(self.env),
            kernel=self.kernel,
            required_secrets=[RequiredSecret(**_need(each)) for each in self.secrets],
            required_integrations=[RequiredIntegration(**_need(each)) for each in self.integrations],
            resources=self._machine().to_wire(),
        )

    def functions_of(self, interface: AppInterface) -> dict[str, AppFunction]:
        """Each function with its schemas; a description here counts before the docstring."""
        from agentkit.wire import AppFunction

        notes = {note.name: note.description for note in self.functions}
        for name in notes:
            if name not in interface.functions:
                why = interface.almost.get(name) or f"{interface.app.__name__} has {', '.join(interface.functions)}"
                raise AppDefinitionError(f"{self._path}: functions: there is no function {name!r}; {why}")
        return {
            name: AppFunction(
                name=name,
                description=notes.get(name) or info.description or None,
                input_schema=info.input_schema,
                output_schema=info.output_schema,
                kind=info.kind,
            )
            for name, info in interface.functions.items()
        }

    def _machine(self) -> Resources:
        """The resources; of a file of 2025, those of its first variant."""
        if "resources" in self.model_fields_set or not self.variants:
            return self.resources
        return min(self.variants.values(), key=lambda each: each.order).resources


def _is_text(path: tuple[str, ...]) -> bool:
    """Whether a value is text even where it looks like a number: `kernel: 3.10`, `env: {PORT: 8080}`."""
    return path[:1] == ("env",) or (len(path) == 1 and path[0] in TEXTS) or path[2:3] in (("env",), ("python",))


def _told(misses: ValidationError, document: Document) -> str:
    lines = list[str]()
    for miss in misses.errors(include_url=False):
        path = tuple(str(part) for part in miss["loc"])
        cause = (miss.get("ctx") or {}).get("error")
        message = str(cause) if isinstance(cause, ValueError) else str(miss["msg"])
        given = "" if miss["type"] == "missing" else f", not {miss['input']!r}"
        lines.append(f"{document.where(path)}: {'.'.join(path)}: {message}{given}")
    return "\n".join(lines)


def _need(need: Need) -> dict[str, Any]:
    return {"key": need.key, "description": need.description, "optional": need.optional}


def _variant(name: str, variant: Variant) -> AppVariant:
    from agentkit.wire import AppVariant

    return AppVariant(
        name=variant.name or name,
        order=variant.order,
        resources=variant.resources.to_wire(),
        env=dict(variant.env),
        python=variant.python,
    )
