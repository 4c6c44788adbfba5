"""What a run took and gave, for pricing: `OutputMeta` and its items (protocol.md 5.3).

>>> OutputMeta(inputs=[TextMeta(tokens=150)]).model_dump(exclude_none=True)
{'inputs': [{'type': 'text', 'tokens': 150}], 'outputs': []}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field

__all__ = ["AudioMeta", "ImageMeta", "MetaItem", "OutputMeta", "RawMeta", "TextMeta", "VideoMeta"]


class MetaItem(BaseModel):
    """One thing that was consumed or produced; `extra` holds factors of the app's own."""

    type: Any
    extra: dict[str, Any] | None = None


class TextMeta(MetaItem):
    """Text, counted in tokens."""

    type: Literal["text"] = "text"
    tokens: int = 0


class ImageMeta(MetaItem):
    """Images; `resolution_mp` is width times height in megapixels."""

    type: Literal["image"] = "image"
    width: int = 0
    height: int = 0
    resolution_mp: float = 0
    steps: int = 0
    count: int = 1


class VideoMeta(MetaItem):
    """Video; `resolution` is 480p, 720p, 1080p, 1440p or 4k, `resolution_mp` megapixels of one frame."""

    type: Literal["video"] = "video"
    width: int = 0
    height: int = 0
    resolution_mp: float = 0
    resolution: str | None = None
    seconds: float = 0
    fps: int = 0


class AudioMeta(MetaItem):
    """Sound; `sample_rate` in Hz."""

    type: Literal["audio"] = "audio"
    seconds: float = 0
    sample_rate: int = 0


class RawMeta(MetaItem):
    """A price the app knows itself; `cost` in dollar cents."""

    type: Literal["raw"] = "raw"
    cost: float = 0


AnyMeta: TypeAlias = Annotated[TextMeta | ImageMeta | VideoMeta | AudioMeta | RawMeta, Field(discriminator="type")]


class OutputMeta(BaseModel):
    """What a run consumed and produced."""

    inputs: list[AnyMeta] = Field(default_factory=list[AnyMeta], description="what was consumed")
    outputs: list[AnyMeta] = Field(default_factory=list[AnyMeta], description="what was produced")
