"""Numbers that can be compared: the contestants take turns, and one of them runs twice to show the machine's noise."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any, Final, Self, TypeAlias

__all__ = ["HEADER", "Contest", "Cost", "Row", "Spread", "alone", "beside", "cost_of"]

Job: TypeAlias = Callable[[], object]
Reading: TypeAlias = Callable[["Cost"], float]

WIDTHS: Final = (24, 28, 28, 18, 24, 24)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took: processor seconds of this process, and seconds on the wall."""

    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some measurements, and the quarter of them on either side."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of one measurement is that measurement."""
        low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        return cls(median(values), low, high)

    def as_text(self, suffix: str = "") -> str:
        return f"{_digits(self.median)}{suffix} ({_digits(self.low)} to {_digits(self.high)})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: `ratio` is ours beside the bare contestant, `noise` the bare one beside itself."""

    name: str
    unit: str
    ours: Spread
    bare: Spread | None = None
    ratio: Spread | None = None
    noise: Spread | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        """The row under the `HEADER`."""
        spreads = [self.bare, self.ours, None, self.ratio, self.noise]
        cells = ["" if each is None else each.as_text("x" if at > 2 else "") for at, each in enumerate(spreads)]
        cells[2] = self.unit
        return _aligned([self.name, *cells])


@dataclass(frozen=True, slots=True)
class Contest:
    """What each of the two took, repetition by repetition, and the bare one once more."""

    bare: list[Cost]
    again: list[Cost]
    ours: list[Cost]

    @classmethod
    def hold(cls, *, bare: Job, ours: Job, repetitions: int, seed: int = 0) -> Self:
        """Within a repetition the three run in random order; before the first, each once for nothing."""
        chance = random.Random(seed)
        jobs: Mapping[str, Job] = {"bare": bare, "again": bare, "ours": ours}
        found: dict[str, list[Cost]] = {name: [] for name in jobs}
        for job in jobs.values():
            job()
        for _ in range(repetitions):
            for name in chance.sample(list(jobs), len(jobs)):
                found[name].append(cost_of(jobs[name]))
        return cls(**found)


def beside(name: str, unit: str, contest: Contest, *, read: Reading) -> Row:
    """The row of a contest; ratios are taken within each repetition."""
    bare, again, ours = ([read(each) for each in costs] for costs in (contest.bare, contest.again, contest.ours))
    return Row(
        name,
        unit,
        Spread.of(ours),
        Spread.of(bare),
        Spread.of([mine / theirs for mine, theirs in zip(ours, bare, strict=True)]),
        Spread.of([second / first for second, first in zip(again, bare, strict=True)]),
    )


def alone(name: str, unit: str, values: Sequence[float]) -> Row:
    """The row of something that has no counterpart."""
    return Row(name, unit, Spread.of(values))


def cost_of(job: Job) -> Cost:
    """What the job takes."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    job()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def _aligned(cells: Sequence[str]) -> str:
    sides = "<>><>>"
    pairs = zip(cells, sides, WIDTHS, strict=True)
    return " ".join(f"{cell:{side}{width}}" for cell, side, width in pairs).rstrip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


HEADER: Final = _aligned(["row", "bare", "agentkit", "", "ratio", "noise"])
