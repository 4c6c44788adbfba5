"""The image resizer: what comes out for every kind of picture, and what people are told who send something else."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageSequence

from agentkit.errors import AppInputError
from tests.examples.app_host import Held, held

pytestmark = pytest.mark.asyncio_only  # nothing in it waits; test_apps_story and test_apps_text_stats run on both

RED, BLUE = (220, 30, 30), (30, 30, 220)


@pytest.fixture
async def resizer() -> AsyncIterator[Held]:
    async with held("image_resizer") as app:
        yield app


def two_halves(size: tuple[int, int] = (400, 200), mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    ImageDraw.Draw(image).rectangle((size[0] // 2, 0, *size), fill=BLUE)
    return image.convert(mode)


def written(image: Image.Image, path: Path, **more: Any) -> str:
    image.save(path, **more)
    return str(path)


def looks(output: Any) -> Image.Image:
    """The picture of an output, read whole."""
    with Image.open(output.image.path) as image:
        image.load()
        return image.copy()


def is_close(found: Any, wanted: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 12 for one, other in zip(found[:3], wanted, strict=True))


# -- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"width": 100}, (100, 50)),
        ({"height": 100}, (200, 100)),
        ({"width": 100, "height": 100}, (100, 50)),
        ({"width": 100, "height": 100, "fit": "cover"}, (100, 100)),
        ({"width": 100, "height": 100, "fit": "stretch"}, (100, 100)),
        ({"width": 800, "enlarge": True}, (800, 400)),
        ({"width": 1}, (1, 1)),
    ],
)
async def test_the_picture_gets_the_size_that_was_asked_for(
    resizer: Held, tmp_path: Path, asked: dict[str, Any], size: tuple[int, int]
) -> None:
    output = await resizer.call("run", image=written(two_halves(), tmp_path / "a.png"), **asked)
    assert (output.width, output.height) == size == looks(output).size
    assert output.notes == []


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"width": 800}, (400, 200)),
        ({"width": 800, "height": 800, "fit": "cover"}, (200, 200)),
        ({"width": 800, "height": 100, "fit": "stretch"}, (400, 100)),
    ],
)
async def test_a_small_picture_is_not_blown_up_unless_asked_and_the_answer_says_so(
    resizer: Held, tmp_path: Path, asked: dict[str, Any], size: tuple[int, int]
) -> None:
    output = await resizer.call("run", image=written(two_halves(), tmp_path / "a.png"), **asked)
    assert looks(output).size == size
    assert output.notes == [f"kept at {size[0]} x {size[1]}: enlarging is off"]


async def test_cover_keeps_the_middle_and_contain_keeps_everything(resizer: Held, tmp_path: Path) -> None:
    stripes = Image.new("RGB", (300, 100), RED)
    ImageDraw.Draw(stripes).rectangle((100, 0, 199, 99), fill=BLUE)
    path = written(stripes, tmp_path / "a.png")
    covered = looks(await resizer.call("run", image=path, width=100, height=100, fit="cover"))
    assert is_close(covered.getpixel((5, 50)), BLUE) and is_close(covered.getpixel((94, 50)), BLUE)
    contained = looks(await resizer.call("run", image=path, width=90, height=90))
    assert contained.size == (90, 30)
    assert is_close(contained.getpixel((5, 15)), RED) and is_close(contained.getpixel((45, 15)), BLUE)


# -- what pictures are like ----------------------------------------------------------------------------------------


async def test_a_photo_taken_sideways_comes_out_upright_and_says_nothing_of_the_camera(
    resizer: Held, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"  # turn it by 90 degrees to the right to look at it
    path = written(two_halves(), tmp_path / "photo.jpg", exif=exif, quality=95)
    output = await resizer.call("run", image=path, height=200)
    upright = looks(output)
    assert upright.size == (100, 200)
    assert is_close(upright.getpixel((50, 20)), RED) and is_close(upright.getpixel((50, 180)), BLUE)
    assert dict(upright.getexif()) == {}
    info = await resizer.call("info", image=path)
    assert (info.width, info.height, info.orientation) == (200, 400, 6)


async def test_an_animation_keeps_its_frames_their_times_and_its_loop(resizer: Held, tmp_path: Path) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    first, *others = [Image.new("RGB", (80, 40), colour) for colour in colours]
    path = written(first, tmp_path / "a.gif", save_all=True, append_images=others, duration=[50, 100, 150], loop=0)
    for kind in ("same", "webp", "png"):
        output = await resizer.call("run", image=path, width=40, format=kind)
        assert output.frames == 3
        with Image.open(output.image.path) as moving:
            assert moving.info["loop"] == 0
            shown = _frames(moving)
        assert [milliseconds for milliseconds, _ in shown] == [50, 100, 150], kind
        assert all(is_close(found, colour) for (_, found), colour in zip(shown, colours, strict=True)), kind
        again = await resizer.call("run", image=output.image.path, width=20, format="gif")
        with Image.open(again.image.path) as moving:
            assert [milliseconds for milliseconds, _ in _frames(moving)] == [50, 100, 150], f"{kind} and back"
    info = await resizer.call("info", image=path)
    assert (info.frames, info.milliseconds, info.format) == (3, 300, "GIF")


async def test_a_jpeg_of_an_animation_is_its_first_frame_and_the_answer_says_so(resizer: Held, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (80, 40), colour) for colour in (RED, BLUE)]
    path = written(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    output = await resizer.call("run", image=path, width=40, format="jpeg")
    assert output.frames == 1
    assert output.notes == ["only the first of 2 frames: JPEG does not move"]
    assert is_close(looks(output).getpixel((20, 10)), RED)


async def test_see_through_parts_lie_on_the_background_in_a_jpeg_and_stay_see_through_elsewhere(
    resizer: Held, tmp_path: Path
) -> None:
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 49, 99), fill=(*RED, 255))
    path = written(image, tmp_path / "logo.png")
    output = await resizer.call("run", image=path, width=50, format="jpeg", background="#00ff00")
    flat = looks(output)
    assert flat.mode == "RGB" and is_close(flat.getpixel((40, 25)), (0, 255, 0))
    assert is_close(flat.getpixel((5, 25)), RED)
    assert output.notes == ["see-through parts are #00ff00: JPEG has none"]
    clear = looks(await resizer.call("run", image=path, width=50, format="webp"))
    assert clear.getpixel((40, 25))[3] == 0  # type: ignore[index]  # RGBA pixels are tuples


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "I;16", "CMYK", "RGBA"])
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif"])
async def test_every_way_to_store_colours_can_become_every_format(
    resizer: Held, tmp_path: Path, mode: str, kind: str
) -> None:
    grey = Image.linear_gradient("L").convert("I").point(lambda value: value * 257).convert("I;16")
    image = grey if mode == "I;16" else two_halves((64, 64), mode)
    path = written(image, tmp_path / f"a.{'tif' if mode == 'CMYK' else 'png'}")
    output = await resizer.call("run", image=path, width=32, format=kind)
    found = looks(output)
    assert (found.size, output.format) == ((32, 32), kind)
    if mode == "I;16":
        top, bottom = (_brightness(found, row) for row in (0, 31))
        assert top < 16 and bottom > 239, "the whole range of brightness is still there"


async def test_a_format_that_is_not_written_becomes_png_and_pages_are_no_frames(resizer: Held, tmp_path: Path) -> None:
    path = written(two_halves(), tmp_path / "scan.tif", save_all=True, append_images=[two_halves()])
    output = await resizer.call("run", image=path, width=100)
    assert (output.format, output.frames) == ("png", 1)
    assert output.notes == ["written as PNG: this app does not write TIFF", "only the first of 2 pages"]
    assert (await resizer.call("info", image=path)).pages == 2


async def test_the_name_does_not_count_but_what_the_file_is(resizer: Held, tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    two_halves().save(path, format="PNG")
    output = await resizer.call("run", image=str(path), width=100)
    assert output.format == "png"
    assert output.image.filename == "really-a-png-100x50.png"
    assert (await resizer.call("info", image=str(path))).format == "PNG"


async def test_the_output_says_what_it_is_made_of_for_pricing(resizer: Held, tmp_path: Path) -> None:
    output = await resizer.call("run", image=written(two_halves(), tmp_path / "a.png"), width=100)
    meta = output.output_meta
    assert [(each.width, each.height, each.count) for each in (*meta.inputs, *meta.outputs)] == [
        (400, 200, 1),
        (100, 50, 1),
    ]
    assert output.image.to_dict()["content_type"] == "image/png"


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "nothing to do: give width, height or both, or another format"),
        ({"width": 0}, "width: Input should be greater than or equal to 1"),
        ({"width": -5}, "width: Input should be greater than or equal to 1"),
        ({"width": 10, "fit": "squeeze"}, "fit: Input should be 'contain', 'cover' or 'stretch'"),
        ({"width": 10, "background": "sort of blue"}, "background: 'sort of blue' is no colour; write 'white'"),
    ],
)
async def test_an_input_that_makes_no_sense_is_refused_with_the_name_of_the_field(
    resizer: Held, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(AppInputError) as refused:
        await resizer.call("run", image=written(two_halves(), tmp_path / "a.png"), **asked)
    assert message in str(refused.value)


async def test_a_run_without_a_picture_is_refused(resizer: Held) -> None:
    values: list[dict[str, Any]] = [{}, {"image": ""}, {"image": {}}]
    for value in values:
        with pytest.raises(AppInputError, match="image"):
            await resizer.call("run", width=10, **value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"Dear Sir or Madam",
            "'letter.png' is no picture that this app can read (AVIF, BMP, GIF, JPEG, PNG, TIFF, WEBP)",
        ),
        (b"", "'letter.png' is no picture that this app can read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "'letter.png' is no picture that this app can read"),
    ],
)
async def test_what_is_no_picture_is_refused_in_words(
    resizer: Held, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "letter.png"
    path.write_bytes(content)
    for function, more in (("run", {"width": 10}), ("info", {})):
        with pytest.raises(ValueError) as refused:
            await resizer.call(function, image=str(path), **more)
        assert message in str(refused.value)
        assert type(refused.value).__name__ == "PictureError"


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
async def test_half_a_picture_is_refused_and_not_written(resizer: Held, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"half.{kind}"
    noise = Image.effect_noise((200, 200), 80)
    noise.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"'half\.\w+' is (cut off or damaged: |no picture)"):
        await resizer.call("run", image=str(path), width=100)


def bomb(width: int, height: int) -> bytes:
    """The header of a PNG of that size, with hardly anything behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((10_000, 10_000), "'bomb.png' has 10000 x 10000 pixels, 100 megapixels; this app takes 60"),
        ((60_000, 60_000), "'bomb.png' would unpack to far more pixels than this app takes"),
    ],
)
async def test_a_small_file_of_many_pixels_is_refused_before_it_is_unpacked(
    resizer: Held, tmp_path: Path, size: tuple[int, int], message: str
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(*size))
    with pytest.raises(ValueError) as refused:
        await resizer.call("run", image=str(path), width=10)
    assert str(refused.value) == message


async def test_the_answer_may_not_be_a_bomb_either(resizer: Held, tmp_path: Path) -> None:
    path = written(two_halves(), tmp_path / "a.png")
    with pytest.raises(ValueError, match="would become 16384 x 16384 pixels, 268 megapixels; this app makes 60"):
        await resizer.call("run", image=path, width=16384, height=16384, fit="stretch", enlarge=True)


async def test_the_limit_is_a_setup_of_the_worker(tmp_path: Path) -> None:
    path = written(two_halves(), tmp_path / "a.png")
    async with held("image_resizer", {"max_megapixels": 0.05}) as small:
        with pytest.raises(ValueError, match=r"has 400 x 200 pixels, 0 megapixels; this app takes 0\.05"):
            await small.call("run", image=path, width=10)


async def test_a_worker_keeps_one_picture_at_a_time_and_none_when_it_is_done(tmp_path: Path) -> None:
    async with held("image_resizer") as app:
        path = written(two_halves(), tmp_path / "a.png")
        first = await app.call("run", image=path, width=100)
        second = await app.call("run", image=path, width=50)
        folder = Path(second.image.path).parent
        assert [each.name for each in folder.iterdir()] == ["a-50x25.png"]
        assert Path(first.image.path).parent == folder
    assert not folder.exists()


def _brightness(image: Image.Image, row: int) -> int:
    pixel: Any = image.convert("L").getpixel((16, row))
    return int(pixel)


def _frames(image: Image.Image) -> list[tuple[int, Any]]:
    """How long each frame is shown, and the colour near its corner."""
    corners = [(each.convert("RGB").getpixel((5, 5)), each.info["duration"]) for each in ImageSequence.Iterator(image)]
    return [(round(milliseconds), colour) for colour, milliseconds in corners]
