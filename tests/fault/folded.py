"""What the tables of a view must hold: the pure folds over the whole log in memory, written out as rows."""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from contracts.facts import CertificationPublished, Fact
from services.projections.batches import BatchReader
from services.projections.builds import NOTHING, View, read_build
from services.projections.events import Placed
from services.projections.views.competencies.fold import Persons
from services.projections.views.counts.fold import Changes, Known, fold
from services.projections.views.entries.tables import missing_tags

Rows = dict[str, list[tuple[Any, ...]]]


def folded(view: View, events: Sequence[Placed]) -> Rows:
    """Every row of every table of the view, sorted."""
    rows = {"competencies": _competencies, "counts": _counts, "entries": _entries}[view.name](events)
    return {table: sorted(map(tuple, of)) for table, of in rows.items()}


async def read_log(pool: asyncpg.Pool, view: View) -> list[Placed]:
    """The events that the view folds."""
    decoded = (await BatchReader(view.facts).read(pool, 0, limit=1_000_000)).decoded
    assert decoded is not None
    return list(decoded)


async def check_folded(pool: asyncpg.Pool, view: View, head: int) -> None:
    """The rows are those of a fold in memory, up to the log's head, and the view knows of what they were made."""
    events = await read_log(pool, view)
    assert await read_rows(pool, view) == folded(view, events)
    build = await read_build(pool, view.name)
    assert build is not None
    assert (build.position, build.events, build.parked) == (head, len(events), 0)
    assert build.digest == (await BatchReader(view.facts).read(pool, 0, limit=1_000_000)).digest(NOTHING)


async def read_rows(pool: asyncpg.Pool, view: View, build: str | None = None) -> Rows:
    """Every row of every table of a build, by default the live one, sorted."""
    found = await read_build(pool, build or view.name)
    assert found is not None
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", found.schema)
    return {
        name: sorted(tuple(row) for row in await pool.fetch(f"SELECT * FROM {found.schema}.{name}"))
        for (name,) in tables
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _competencies(events: Sequence[Placed]) -> dict[str, list[Any]]:
    persons = Persons({}, {})
    blocs: list[Any] = []
    for event in events:
        fact: Fact = event.data
        if isinstance(fact, CertificationPublished):
            blocs += [(fact.certification_id, fact.version, bloc.bloc_id, _json(bloc)) for bloc in fact.blocs]
        else:
            persons.fold(event)
    return {
        "person": [(id_, _json(person)) for id_, person in persons.persons.items()],
        "alias": list(persons.kept_ids.items()),
        "bloc": blocs,
    }


def _counts(events: Sequence[Placed]) -> dict[str, list[Any]]:
    known, changes = Known(), Changes()
    for event in events:
        fold(known, changes, event)
    return {
        "registration": [(id_, *of.cell, of.cancelled) for id_, of in known.registrations.items()],
        "certificate": [(number, *cell) for number, cell in known.certificates.items()],
        "holder": [(id_, *key, count) for id_, holder in known.holders.items() for key, count in holder.items()],
        "alias": list(known.kept_ids.items()),
        "delta": [(delta.position, *delta.cell, *delta[2:]) for delta in changes.deltas],
        "cell": _sums((delta.cell, delta[2:]) for delta in changes.deltas),
        "persons_delta": [
            (delta.year, delta.branch, delta.position, delta.persons) for delta in changes.persons_deltas
        ],
        "persons": _sums(((delta.year, delta.branch), (delta.persons,)) for delta in changes.persons_deltas),
        "objective": [(of.year, of.position, of.beneficiaries) for of in changes.objectives],
    }


def _sums(pairs: Iterable[tuple[tuple[Any, ...], tuple[int, ...]]]) -> list[Any]:
    sums: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for key, numbers in pairs:
        sums[key] = tuple(map(sum, zip(sums.get(key, (0,) * len(numbers)), numbers, strict=True)))
    return [(*key, *numbers) for key, numbers in sums.items()]


def _entries(events: Sequence[Placed]) -> dict[str, list[Any]]:
    return {"tag": [(tag, event.position) for event in events for tag in missing_tags(event.data)]}
