"""Pictures from and to files: opened with care, upright, and written in one of four formats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

Format: TypeAlias = Literal["jpeg", "png", "webp", "gif"]

Image.init()  # loads the decoders
WANTED: Final = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP")  # others, as EPS, start programs
READABLE: Final = tuple(each for each in WANTED if each in Image.OPEN)
NAMED: Final[dict[str, Format]] = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
MOVING: Final = ("GIF", "PNG", "WEBP", "AVIF")  # several frames are an animation; in a TIFF or MPO they are pages
SUFFIXES: Final[dict[Format, str]] = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "gif": ".gif"}
FRAMES: Final = 2000
FRAME_MS: Final = 100  # of a frame that does not say


class PictureError(ValueError):
    """Something about the picture, in words for whoever sent it."""


@dataclass(frozen=True)
class Frame:
    """One picture of an animation, or the only one; shown for so long."""

    image: Image.Image
    milliseconds: float = 0


@contextmanager
def opened(path: str, name: str, *, max_megapixels: float) -> Iterator[Image.Image]:
    """The picture in a file, which is looked at as far as its header; `name` is for messages. Raises PictureError."""
    with _in_plain_words(name), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is ours
        with Image.open(path, formats=READABLE) as image:
            width, height = image.size
            if width * height > max_megapixels * 1e6:
                raise PictureError(
                    f"{name!r} has {width} x {height} pixels, {width * height / 1e6:,.0f} megapixels; "
                    f"this app takes {max_megapixels:g}"
                )
            yield image


def frame_count(image: Image.Image) -> int:
    """How many frames it moves through; 1 for a still picture, and for one that has pages."""
    return getattr(image, "n_frames", 1) if image.format in MOVING else 1


def page_count(image: Image.Image) -> int:
    """How many pages it has; 1 for anything that is no document."""
    return getattr(image, "n_frames", 1) if image.format == "TIFF" else 1


def frames_of(image: Image.Image, *, is_moving: bool) -> Iterator[Frame]:
    """Its frames, or the first one; upright, in colours that can be resized (RGB, RGBA, L, LA, CMYK)."""
    for each in ImageSequence.Iterator(image):
        upright = _resizable(ImageOps.exif_transpose(each))
        yield Frame(upright, float(each.info.get("duration") or FRAME_MS))  # WebP only says so once it is decoded
        if not is_moving:
            return


def has_alpha(image: Image.Image) -> bool:
    """Whether parts of it can be seen through."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the picture is looked at: a camera on its side notes that in the file."""
    width, height = image.size
    return (height, width) if orientation_of(image) >= 5 else (width, height)


def orientation_of(image: Image.Image) -> int:
    """How the camera was held, 1 to 8 (EXIF); 1 is upright."""
    found = image.getexif().get(0x0112, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def flattened(image: Image.Image, background: str) -> Image.Image:
    """The picture on a colour, without anything to see through."""
    if not has_alpha(image):
        return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    whole = image.convert("RGBA")
    ground = Image.new("RGBA", whole.size, background)
    return Image.alpha_composite(ground, whole).convert("RGB")


def save(frames: list[Frame], target: Path, *, kind: Format, quality: int, info: Mapping[Any, Any]) -> None:
    """Writes the frames. Of the `info` of the old picture its colour profile is kept and how often it repeats.

    All other notes of a camera (place, time, orientation) stay out.
    """
    first, *others = [each.image for each in frames]
    more: dict[str, Any] = {"icc_profile": info["icc_profile"]} if info.get("icc_profile") and kind != "gif" else {}
    if kind in ("jpeg", "webp"):
        more["quality"] = quality
    if kind == "jpeg":
        more |= {"optimize": True, "progressive": True}
    if others:
        shown = [round(each.milliseconds) for each in frames]
        more |= {"save_all": True, "append_images": others, "duration": shown}
        more |= {"loop": info.get("loop", 1)} if "loop" in info or kind != "gif" else {}  # a GIF says nothing for once
        more |= {"disposal": 2} if kind == "gif" and any(has_alpha(each) for each in (first, *others)) else {}
    first.save(target, format=kind.upper(), **more)


@contextmanager
def _in_plain_words(name: str) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:
        known = ", ".join(each for each in READABLE if each != "MPO")
        raise PictureError(f"{name!r} is no picture that this app can read ({known})") from None
    except Image.DecompressionBombError:
        raise PictureError(f"{name!r} would unpack to far more pixels than this app takes") from None
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(f"{name!r} is not there") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # all of these come out of Pillow's decoders
        raise PictureError(f"{name!r} is cut off or damaged: {error}") from error


def _resizable(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be interpolated; palettes and single bits cannot."""
    if has_alpha(image):
        return image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    match image.mode:
        case "RGB" | "L" | "CMYK":
            return image
        case "1":
            return image.convert("L")
        case "I" | "I;16" | "I;16L" | "I;16B":
            return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        case _:
            return image.convert("RGB")
