"""Tables as Markdown that also reads well on a terminal: ratios first, then the figures behind them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import Comparison, Samples, median

RESULTS = Path(__file__).with_name("RESULTS.md")
OWN_WORDS = "## In our own words"

_TEMPLATE = f"""{OWN_WORDS}

Kept when the rest of this file is rewritten. For each line of "Where we lose": why, and what it would take.

- …
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a benchmark found. rows: one cell for each column; notes: what a reader must know to judge it."""

    title: str
    comparisons: Sequence[Comparison]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())

    def markdown(self) -> str:
        ratios = [[c.what, c.against, number(c.ratio), _spread(c), c.goal, _verdict(c)] for c in self.comparisons]
        parts = [
            f"## {self.title}",
            _grid(["case", "against", "ratio", "low – high", "goal", "reached"], ratios) if ratios else "",
            _grid(self.columns, self.rows),
            "\n".join(f"- {note}" for note in self.notes),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


FIGURES = {
    "rate": "per s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_us": "client CPU µs",
    "server_cpu_us": "server CPU µs",
    "postgres_cpu_us": "PostgreSQL CPU µs",
}


def rows_of(samples: Samples, order: Sequence[str], figures: Sequence[str] = tuple(FIGURES)) -> list[list[str]]:
    """A row of medians for each case that ran."""
    return [[name, *(number(median(samples[name], figure)) for figure in figures)] for name in order if name in samples]


def refusals(samples: Samples) -> list[str]:
    """A note on each case whose operations did not all succeed."""
    return [
        f"{name}: {refused} operations were refused and do not count."
        for name, taken in samples.items()
        if (refused := sum(sample.refused for sample in taken))
    ]


def number(value: float) -> str:
    """Three digits that count; a dash for what was not measured."""
    if math.isnan(value):
        return "–"
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def document(header: str, tables: Sequence[Table]) -> str:
    """The whole report."""
    return "\n".join(["# Benchmarks", "", header, *(table.markdown() for table in tables), _losses(tables)])


def save(text: str, path: Path = RESULTS) -> None:
    """Rewrite the results; what was written by hand below them stays."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    _, found, own_words = before.partition(OWN_WORDS)
    path.write_text(f"{text}\n{found + own_words if found else _TEMPLATE}", encoding="utf-8")


def _losses(tables: Sequence[Table]) -> str:
    lost = [
        f"- {table.title.lower()}: {c.what} ÷ {c.against} is {number(c.ratio)}"
        + (f", the goal is {c.goal}." if c.goal else ".")
        for table in tables
        for c in table.comparisons
        if c.reached is False or (c.reached is None and c.ratio < 1)
    ]
    return "## Where we lose\n\n" + ("\n".join(lost) or "Nowhere in this run.") + "\n"


def _spread(comparison: Comparison) -> str:
    return f"{number(min(comparison.values))} – {number(max(comparison.values))}"


def _verdict(comparison: Comparison) -> str:
    return {True: "yes", False: "**no**", None: ""}[comparison.reached]


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(3, *map(len, column)) for column in zip(columns, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (columns, rule, *rows)
    )
