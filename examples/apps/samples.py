"""Pictures for those who have none at hand: drawn, not kept in the repository."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

__all__ = ["draw_pictures"]


def draw_pictures(folder: Path) -> list[Path]:
    """A photo taken sideways, a see-through logo, an animation, and a text that only looks like a picture."""
    photo, logo, dance, note = (folder / name for name in ("photo.jpg", "logo.png", "dance.gif", "note.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    Image.radial_gradient("L").resize((1200, 800)).convert("RGB").save(photo, exif=exif)
    drawn = Image.new("RGBA", (600, 600))
    ImageDraw.Draw(drawn).ellipse((50, 50, 550, 550), fill="teal")
    drawn.save(logo)
    first, *others = [_dancer(place) for place in range(0, 400, 50)]
    first.save(dance, save_all=True, append_images=others, duration=80, loop=0)
    note.write_text("This is no picture at all.", encoding="utf-8")
    return [dance, logo, note, photo]


def _dancer(place: int) -> Image.Image:
    image = Image.new("RGB", (480, 120), "white")
    ImageDraw.Draw(image).ellipse((place, 20, place + 80, 100), fill="orange")
    return image
