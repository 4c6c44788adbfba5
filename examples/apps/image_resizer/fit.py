"""Which part of a picture is kept, and how large it becomes. Numbers only: no picture is touched here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Fit: TypeAlias = Literal["contain", "cover", "stretch"]
Size: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Plan:
    """`box` of the source (left, top, right, bottom) becomes a picture of `size`.

    `is_held_back`: it would have been larger, but enlarging is off.
    """

    box: Box
    size: Size
    is_held_back: bool = False


def plan_fit(source: Size, width: int | None, height: int | None, *, fit: Fit, enlarge: bool) -> Plan:
    """How to bring `source` to `width` x `height`; a side that is None follows from the other one.

    contain: the whole picture, inside that frame. cover: the frame is filled, what sticks out is cut off evenly.
    stretch: exactly that frame, the picture gives way. Unless `enlarge`, nothing becomes larger than it was.

    >>> plan_fit((400, 200), 100, 100, fit="contain", enlarge=False).size
    (100, 50)
    >>> plan_fit((400, 200), 100, 100, fit="cover", enlarge=False)
    Plan(box=(100.0, 0.0, 300.0, 200.0), size=(100, 100), is_held_back=False)
    """
    frame = _frame(source, width, height)
    if fit == "contain":
        scale = min(frame[0] / source[0], frame[1] / source[1])
        frame = (source[0] * scale, source[1] * scale)
    if fit == "stretch":
        held = frame if enlarge else (min(frame[0], source[0]), min(frame[1], source[1]))
    else:
        most = 1.0 if enlarge else min(1.0, source[0] / frame[0], source[1] / frame[1])
        held = (frame[0] * most, frame[1] * most)
    box = _centred(source, frame) if fit == "cover" else (0.0, 0.0, float(source[0]), float(source[1]))
    return Plan(box, _whole(held), is_held_back=_whole(held) != _whole(frame))


def _frame(source: Size, width: int | None, height: int | None) -> tuple[float, float]:
    """The frame asked for, with the missing side in proportion."""
    if width is None:
        return (source[0] * (height or source[1]) / source[1], float(height or source[1]))
    return (float(width), source[1] * width / source[0] if height is None else float(height))


def _centred(source: Size, frame: tuple[float, float]) -> Box:
    """The largest part of the source that has the frame's proportions, in its middle."""
    scale = min(source[0] / frame[0], source[1] / frame[1])
    width, height = min(source[0], frame[0] * scale), min(source[1], frame[1] * scale)
    left, top = (source[0] - width) / 2, (source[1] - height) / 2
    return (left, top, left + width, top + height)


def _whole(size: tuple[float, float]) -> Size:
    """In pixels; however thin, a picture has one."""
    return (max(1, round(size[0])), max(1, round(size[1])))
