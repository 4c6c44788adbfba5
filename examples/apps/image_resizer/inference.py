"""Resizes pictures: animations keep moving, photos stay upright, nothing is blown up by accident."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Self

from PIL import Image, ImageColor
from pydantic import Field, field_validator, model_validator

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File, ImageMeta, Metadata, OutputMeta

from .fit import Fit, Plan, plan_fit
from .pictures import (
    FRAMES,
    NAMED,
    SUFFIXES,
    Format,
    Frame,
    PictureError,
    flattened,
    frame_count,
    frames_of,
    has_alpha,
    opened,
    orientation_of,
    page_count,
    save,
    upright_size,
)


class AppSetup(BaseAppSetup):
    max_megapixels: float = Field(default=60, gt=0, le=500, description="larger pictures are refused")


class ResizeInput(BaseAppInput):
    image: File = Field(description="the picture", json_schema_extra={"contentMediaType": "image/*"})
    width: int | None = Field(default=None, ge=1, le=16384, description="pixels; left out, it follows from the height")
    height: int | None = Field(default=None, ge=1, le=16384, description="pixels; left out, it follows from the width")
    fit: Fit = Field(
        default="contain",
        description="contain: the whole picture inside width x height. cover: fill it and cut off what sticks out. "
        "stretch: exactly that size, out of proportion if need be",
    )
    enlarge: bool = Field(default=False, description="whether a small picture may become larger than it is")
    format: Literal["same", "jpeg", "png", "webp", "gif"] = Field(default="same", description="what to write")
    quality: int = Field(default=85, ge=1, le=95, description="of JPEG and WebP")
    background: str = Field(default="white", description="behind see-through parts, where the format has none")

    @field_validator("background")
    @classmethod
    def _is_colour(cls, value: str) -> str:
        try:
            ImageColor.getrgb(value)
        except ValueError:
            raise ValueError(f"{value!r} is no colour; write 'white' or '#ffcc00'") from None
        return value

    @model_validator(mode="after")
    def _says_a_size(self) -> Self:
        if self.width is None and self.height is None and self.format == "same":
            raise ValueError("nothing to do: give width, height or both, or another format")
        return self


class ResizeOutput(BaseAppOutput):
    image: File = Field(description="the new picture", json_schema_extra={"contentMediaType": "image/*"})
    width: int
    height: int
    format: Format
    frames: int = Field(default=1, description="more than one where it moves")
    notes: list[str] = Field(default_factory=list[str], description="what did not go as asked, and why")


class InfoInput(BaseAppInput):
    image: File = Field(description="the picture", json_schema_extra={"contentMediaType": "image/*"})


class InfoOutput(BaseAppOutput):
    width: int = Field(description="pixels, as the picture is looked at")
    height: int
    megapixels: float
    format: str = Field(description="as the file says, whatever its name: JPEG, PNG, ...")
    mode: str = Field(description="how colours are stored: RGB, RGBA, L, P, CMYK, ...")
    size_bytes: int
    frames: int = Field(description="more than one where it moves")
    pages: int = Field(description="more than one in a document of pictures")
    milliseconds: int = Field(description="how long an animation takes; 0 for a still picture")
    has_alpha: bool
    orientation: int = Field(description="how the camera was held, 1 (upright) to 8")


class App(BaseApp):
    """Plain methods, not coroutines: decoding blocks, and the worker calls these in a thread."""

    async def setup(self, config: AppSetup) -> None:
        self.max_megapixels = config.max_megapixels
        self.folder = TemporaryDirectory(prefix="image-resizer-")

    def run(self, input_data: ResizeInput, metadata: Metadata) -> ResizeOutput:
        """Resize a picture, and convert it if asked."""
        source = input_data.image
        name = source.filename or "the picture"
        with opened(source.path or "", name, max_megapixels=self.max_megapixels) as image:
            kind, notes = _format(image, input_data)
            plan = plan_fit(
                upright_size(image), input_data.width, input_data.height, fit=input_data.fit, enlarge=input_data.enlarge
            )
            if plan.is_held_back:
                notes.append(f"kept at {plan.size[0]} x {plan.size[1]}: enlarging is off")
            moves = frame_count(image) > 1 and kind != "jpeg"
            self._check_work(plan, count := frame_count(image) if moves else 1, name)
            frames = [_resized(frame, plan, kind, input_data.background) for frame in frames_of(image, is_moving=moves)]
            before = _meta(upright_size(image), count)
        target = self._target(name, plan, kind)
        save(frames, target, kind=kind, quality=input_data.quality, info=image.info)
        for note in notes:
            metadata.log(f"{name}: {note}")
        width, height = plan.size
        return ResizeOutput(
            image=File(target),
            width=width,
            height=height,
            format=kind,
            frames=len(frames),
            notes=notes,
            output_meta=OutputMeta(inputs=[before], outputs=[_meta(plan.size, len(frames))]),
        )

    def info(self, input_data: InfoInput) -> InfoOutput:
        """Tell size, format and frames of a picture."""
        source = input_data.image
        path = Path(source.path or "")
        with opened(str(path), source.filename or "the picture", max_megapixels=self.max_megapixels) as image:
            width, height = upright_size(image)
            frames = frame_count(image)
            moves = frames > 1
            return InfoOutput(
                width=width,
                height=height,
                megapixels=round(width * height / 1e6, 3),
                format="JPEG" if image.format == "MPO" else image.format or "",
                mode=image.mode,
                size_bytes=path.stat().st_size,
                frames=frames,
                pages=page_count(image),
                orientation=orientation_of(image),
                has_alpha=has_alpha(image),
                milliseconds=round(sum(each.milliseconds for each in frames_of(image, is_moving=True))) if moves else 0,
            )

    async def unload(self) -> None:
        self.folder.cleanup()

    def _check_work(self, plan: Plan, frames: int, name: str) -> None:
        """All frames are held until they are written. Raises PictureError where that would be too much."""
        if frames > FRAMES:
            raise PictureError(f"{name!r} has {frames} frames; this app takes {FRAMES}")
        megapixels = plan.size[0] * plan.size[1] * frames / 1e6
        if megapixels > self.max_megapixels:
            raise PictureError(
                f"{name!r} would become {plan.size[0]} x {plan.size[1]} pixels"
                f"{f' in {frames} frames' if frames > 1 else ''}, {megapixels:,.0f} megapixels; "
                f"this app makes {self.max_megapixels:g}"
            )

    def _target(self, name: str, plan: Plan, kind: Format) -> Path:
        """Where the new picture goes. The one before is on the platform by now."""
        folder = Path(self.folder.name)
        for old in folder.iterdir():
            old.unlink()
        return folder / f"{Path(name).stem[:100]}-{plan.size[0]}x{plan.size[1]}{SUFFIXES[kind]}"


def _format(image: Image.Image, asked: ResizeInput) -> tuple[Format, list[str]]:
    """What to write, and what is lost on the way."""
    own = image.format or ""
    kind: Format = NAMED.get(own, "png") if asked.format == "same" else asked.format
    notes: list[str] = []
    if asked.format == "same" and own not in NAMED:
        notes.append(f"written as PNG: this app does not write {own}")
    if kind == "jpeg" and has_alpha(image):
        notes.append(f"see-through parts are {asked.background}: JPEG has none")
    if kind == "jpeg" and (count := frame_count(image)) > 1:
        notes.append(f"only the first of {count} frames: JPEG does not move")
    if (pages := page_count(image)) > 1:
        notes.append(f"only the first of {pages} pages")
    return kind, notes


def _resized(frame: Frame, plan: Plan, kind: Format, background: str) -> Frame:
    """One frame in its new size, in colours that the format has."""
    image = frame.image.resize(plan.size, Image.Resampling.LANCZOS, box=plan.box, reducing_gap=3.0)
    if kind == "jpeg":
        image = flattened(image, background)
    elif image.mode == "CMYK":
        image = image.convert("RGB")
    return Frame(image, frame.milliseconds)


def _meta(size: tuple[int, int], count: int) -> ImageMeta:
    return ImageMeta(width=size[0], height=size[1], resolution_mp=round(size[0] * size[1] / 1e6, 3), count=count)
