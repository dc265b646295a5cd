"""What is measured: cases that take turns in random order, and ratios between them, repetition by repetition.

Absolute rates of a shared machine move by a factor of two within minutes; ratios of neighbours in one repetition move
far less. So a comparison is the median of its repetitions' ratios, and says how far they lie apart.
"""

import contextlib
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured.

    seconds: for each case in each repetition. quick: small logs, to see that everything works. large: the largest log.
    """

    seconds: float = 0.8
    repetitions: int = 3
    quick: bool = False
    large: bool = False

    @property
    def warm_up_s(self) -> float:
        """What runs before each measurement and does not count."""
        return min(0.2, self.seconds / 4)


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One case, once. p50_ms, p99_ms: of an operation. cpu_s: of the process that asked.

    postgres_cpu_s: of all of PostgreSQL. server_cpu_s: of the server before it or in its place: HTTP, UmaDB.
    refused: operations that failed; they are not among `operations`. rss_mb: memory of the process that asked.
    """

    operations: int
    seconds: float
    p50_ms: float = math.nan
    p99_ms: float = math.nan
    cpu_s: float = math.nan
    postgres_cpu_s: float = math.nan
    server_cpu_s: float = math.nan
    refused: int = 0
    rss_mb: float = math.nan

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds

    @property
    def mean_ms(self) -> float:
        """The time an operation takes of the whole, however many run at once."""
        return 1e3 * self.seconds / max(1, self.operations)

    @property
    def cpu_us(self) -> float:
        """CPU of an operation in the process that asked."""
        return 1e6 * self.cpu_s / max(1, self.operations)

    @property
    def postgres_cpu_us(self) -> float:
        """CPU of an operation in PostgreSQL."""
        return 1e6 * self.postgres_cpu_s / max(1, self.operations)

    @property
    def server_cpu_us(self) -> float:
        """CPU of an operation in the other server."""
        return 1e6 * self.server_cpu_s / max(1, self.operations)


Case = Callable[[], Awaitable[Sample]]
Samples = Mapping[str, Sequence[Sample]]
Stage = Callable[[], AbstractAsyncContextManager[Mapping[str, Case]]]
"""What one repetition needs, set up and torn down around it, and its cases by name."""


def kept(cases: Mapping[str, Case]) -> Stage:
    """The same cases in every repetition."""
    return lambda: contextlib.nullcontext(cases)


async def repeated(stage: Stage, repetitions: int, tell: Callable[[str], None]) -> Samples:
    """Samples of each case, one a repetition. The cases of a repetition run in random order."""
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    for repetition in range(1, repetitions + 1):
        async with stage() as cases:
            for name in random.sample(list(cases), len(cases)):
                tell(f"{repetition}/{repetitions} {name}")
                samples[name].append(await cases[name]())
    return samples


def median(samples: Sequence[Sample], of: str) -> float:
    """The median of one figure; nan when there is none."""
    figures: list[float] = [attrgetter(of)(sample) for sample in samples]
    return statistics.median(figures or [math.nan])


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A ratio, measured once a repetition. at_least, at_most: the goal, if there is one."""

    what: str
    against: str
    values: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float:
        return statistics.median(self.values)

    @property
    def goal(self) -> str:
        """The goal in words, empty when there is none."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return None if self.at_most is None else self.ratio <= self.at_most


def compare(samples: Samples, what: str, against: str, *, of: str = "rate", **goal: Any) -> list[Comparison]:
    """The comparison of two cases by a figure of their samples; none when one of them did not run."""
    pairs = zip(samples.get(what, ()), samples.get(against, ()), strict=False)
    figure = attrgetter(of)
    values = [figure(one) / figure(other) for one, other in pairs if figure(other)]
    label = what if of == "rate" else f"{what}: {of.replace('_', ' ')}"
    return [Comparison(what=label, against=against, values=values, **goal)] if values else []
