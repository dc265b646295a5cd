"""The auditor's tool: each part of an audit, beside entries that are only decoded; and tiles as they are built."""

import tempfile
from pathlib import Path

from tests.bench.child import child
from tests.bench.measure import kept, repeated
from tests.bench.report import FIGURES, Table, rows_of
from tests.bench.run import Run

ORDERS = {
    "decoded and nothing else": "decoded",
    "read and hashed up to the root": "hashed",
    "form looked at": "formed",
    "decided again": "judged",
    "counted again": "counted",
    "whole audit of a folder": "whole",
    "tiles built, each file synced": "tiles",
}
"""What the child is told to do, by the name of the case."""

SHOWN = ("rate", "cpu_us")


async def measure(run: Run) -> Table:
    """The table of audits."""
    persons, events_each, singles = (500, 5, 500) if run.plan.quick else (4_000, 10, 10_000)
    with tempfile.TemporaryDirectory() as place:
        arguments = (str(Path(place, "log")), *map(str, (persons, events_each, singles)))
        async with child("audit", *arguments) as auditor:
            cases = {name: auditor.case(run.plan, {}, order) for name, order in ORDERS.items()}
            samples = await repeated(kept(cases), run.plan.repetitions, run.tell)
    return Table(
        title="Audit",
        comparisons=(),
        columns=["case, entries", *(FIGURES[figure] for figure in SHOWN)],
        rows=rows_of(samples, tuple(ORDERS), SHOWN),
        notes=[
            f"{persons * events_each + singles} entries: registrations that are opened and closed again.",
            "One process, one core; the replay's rates are in its own table.",
        ],
    )
