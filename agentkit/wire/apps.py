"""Apps: what a task runs, its versions, functions and needs (protocol.md 5.2). Memory is in bytes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from agentkit.wire._base import Open, Owned, Resource, Wire
from agentkit.wire.agents import Images

__all__ = [
    "App",
    "AppCategory",
    "AppFunction",
    "AppResources",
    "AppStatus",
    "AppVariant",
    "AppVersion",
    "AppVersionInput",
    "CreateAppRequest",
    "GPUType",
    "GpuResource",
    "MetaItemType",
    "RequiredIntegration",
    "RequiredSecret",
    "SetCurrentVersion",
    "VideoResolution",
]


class AppCategory(StrEnum):
    """What an app works on; `decision` is newer."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    CHAT = "chat"
    _3D = "3d"
    OTHER = "other"
    FLOW = "flow"
    DECISION = "decision"


class AppStatus(StrEnum):
    """Whether an app can be run (newer servers)."""

    ACTIVE = "active"
    MAINTENANCE = "maintenance"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class GPUType(StrEnum):
    """Which accelerator an app needs."""

    ANY = "any"
    NONE = "none"
    INTEL = "intel"
    NVIDIA = "nvidia"
    AMD = "amd"
    APPLE = "apple"


class MetaItemType(StrEnum):
    """What an entry of an output's metadata counts (protocol.md 5.3)."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    RAW = "raw"


class VideoResolution(StrEnum):
    """The height of a video's picture."""

    VIDEO_RES480P = "480p"
    VIDEO_RES720P = "720p"
    VIDEO_RES1080P = "1080p"
    VIDEO_RES1440P = "1440p"
    VIDEO_RES4K = "4k"


class GpuResource(Wire):
    """The accelerators an app needs; `vram` in bytes."""

    count: int = 0
    vram: int = 0
    type: Open[GPUType] = GPUType.NONE


class AppResources(Wire):
    """The machine an app needs; `ram` in bytes."""

    gpu: GpuResource = Field(default_factory=GpuResource)
    ram: int = 0


class AppFunction(Wire):
    """An entry point, with the JSON Schemas of what it takes and gives."""

    name: str = ""
    description: str | None = None
    input_schema: Any = None
    output_schema: Any = None
    kind: str | None = None


class AppVariant(Wire):
    """A way to run the same app on other machines (gone in the newest servers)."""

    name: str = ""
    order: int = 0
    resources: AppResources = Field(default_factory=AppResources)
    env: dict[str, Any] = Field(default_factory=dict)
    python: str = ""


class RequiredSecret(Wire):
    """A secret the app reads from its environment."""

    key: str = ""
    description: str | None = None
    optional: bool = False


class RequiredIntegration(Wire):
    """A connection the app needs, as in `google.sheets`."""

    key: str = ""
    description: str | None = None
    optional: bool = False


class AppVersionInput(Wire):
    """A version as a deployer describes it."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    repository: str = ""
    setup_schema: Any = None
    input_schema: Any = None
    output_schema: Any = None
    functions: dict[str, AppFunction] = Field(default_factory=dict[str, AppFunction])
    default_function: str | None = None
    variants: dict[str, AppVariant] = Field(default_factory=dict[str, AppVariant])
    env: dict[str, Any] = Field(default_factory=dict)
    kernel: str = ""
    required_secrets: list[RequiredSecret] = Field(default_factory=list[RequiredSecret])
    required_integrations: list[RequiredIntegration] = Field(default_factory=list[RequiredIntegration])
    resources: AppResources = Field(default_factory=AppResources)


class AppVersion(Resource, AppVersionInput):
    """A version of an app (`AppVersionDTO`)."""

    flow_version_id: str | None = None
    flow_version: dict[str, Any] | None = None
    checksum: str | None = None


class App(Owned):
    """An app, `namespace/name` (`AppDTO`); `version` is the one that runs where a reference names none."""

    namespace: str = ""
    name: str = ""
    description: str = ""
    agent_description: str = ""
    category: Open[AppCategory] = ""
    images: Images = Field(default_factory=Images)
    version_id: str = ""
    version: AppVersion | None = None
    status: Open[AppStatus] | None = None
    status_message: str | None = None


class CreateAppRequest(Wire):
    """The body of `POST /apps`: with an `id` a new version, current unless `preserve_current_version`."""

    id: str | None = None
    namespace: str = ""
    name: str = ""
    description: str = ""
    agent_description: str = ""
    category: Open[AppCategory] = ""
    images: Images | None = None
    version: AppVersionInput | None = None
    preserve_current_version: bool = False


class SetCurrentVersion(Wire):
    """The body of the older way to make a version current."""

    version_id: str = ""
