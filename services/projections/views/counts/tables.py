"""How batches of events get into the tables of view `counts`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, TypeVar

from contracts.facts import (
    CertificateAwarded,
    CertificateRevoked,
    Fact,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
)
from services.projections.builds import Asked
from services.projections.events import Event, Placed
from services.projections.parking import keys_of
from services.projections.views.counts import fold
from services.projections.views.counts.fold import Cell, Changes, Delta, Known, PersonsDelta, Registration
from services.projections.writes import Folded, Write, write

# $1: registration ids.
_REGISTRATIONS = """
SELECT registration_id, year, certification_id, family, reporting_status, branch, region, cancelled
FROM {schema}.registration WHERE registration_id = ANY($1)
"""

# $1: certificate numbers in lower case.
_CERTIFICATES = """
SELECT certificate_number, year, certification_id, family, reporting_status, branch, region
FROM {schema}.certificate WHERE certificate_number = ANY($1)
"""

# $1: person ids, $2: ids that will be merged. Returns what either is merged into, or has had merged into it.
_KEPT_IDS = "SELECT merged_id, kept_id FROM {schema}.alias WHERE merged_id = ANY($1) OR kept_id = ANY($2)"

# $1: kept person ids.
_HOLDERS = "SELECT person_id, year, branch, certificates FROM {schema}.holder WHERE person_id = ANY($1)"

# $1..$8: the columns.
_SAVE_REGISTRATIONS = """
INSERT INTO {schema}.registration AS r
    (registration_id, year, certification_id, family, reporting_status, branch, region, cancelled)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[])
WHERE {due}
ON CONFLICT (registration_id) DO UPDATE SET cancelled = excluded.cancelled
WHERE r.cancelled <> excluded.cancelled
"""

# $1..$7: the columns. Those that were read for their revocation are there already.
_SAVE_CERTIFICATES = """
INSERT INTO {schema}.certificate
    (certificate_number, year, certification_id, family, reporting_status, branch, region)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
WHERE {due}
ON CONFLICT (certificate_number) DO NOTHING
"""

# $1..$4: the columns, with the certificates there are now.
_SAVE_HOLDERS = """
INSERT INTO {schema}.holder AS h (person_id, year, branch, certificates)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::int[])
WHERE {due}
ON CONFLICT (person_id, year, branch) DO UPDATE SET certificates = excluded.certificates
WHERE h.certificates <> excluded.certificates
"""

# $1, $2: merged ids and what they stand for now.
_SAVE_KEPT_IDS = """
INSERT INTO {schema}.alias (merged_id, kept_id) SELECT * FROM unnest($1::text[], $2::text[]) WHERE {due}
ON CONFLICT (merged_id) DO UPDATE SET kept_id = excluded.kept_id
"""

# $1..$10: the columns.
_SAVE_DELTAS = """
INSERT INTO {schema}.delta
    (position, year, certification_id, family, reporting_status, branch, region, registered, beneficiaries, revoked)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::int[], $9::int[], $10::int[])
WHERE {due}
"""

# $1..$9: cells, each once, and what to add to each.
_ADD_TO_CELLS = """
INSERT INTO {schema}.cell AS c
    (year, certification_id, family, reporting_status, branch, region, registered, beneficiaries, revoked)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::int[], $8::int[], $9::int[])
WHERE {due}
ON CONFLICT (year, certification_id, family, reporting_status, branch, region) DO UPDATE SET
    registered = c.registered + excluded.registered,
    beneficiaries = c.beneficiaries + excluded.beneficiaries,
    revoked = c.revoked + excluded.revoked
"""

# $1..$4: the columns.
_SAVE_PERSONS_DELTAS = """
INSERT INTO {schema}.persons_delta (position, year, branch, persons)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::int[])
WHERE {due}
"""

# $1..$3: year and branch, each pair once, and what to add to each.
_ADD_TO_PERSONS = """
INSERT INTO {schema}.persons AS p (year, branch, persons)
SELECT * FROM unnest($1::int[], $2::text[], $3::int[])
WHERE {due}
ON CONFLICT (year, branch) DO UPDATE SET persons = p.persons + excluded.persons
"""

# $1..$3: the columns.
_SAVE_OBJECTIVES = """
INSERT INTO {schema}.objective (position, year, beneficiaries)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[])
WHERE {due}
"""

T = TypeVar("T")


class CountsView:
    """The view as its follower sees it."""

    name = "counts"
    version = 1
    layout = 1
    ddl = (resources.files(__package__) / "tables.sql").read_text(encoding="utf-8")
    merges = True
    facts: Sequence[type[Fact]] = fold.FACTS

    def keys(self, event: Event) -> Sequence[str]:
        """The persons that the event is about, or the year.

        A registration or certificate is its person's: distinct persons can only be told when all that a person did is
        counted in order.
        """
        return keys_of(event)

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Known | None = None) -> Folded:
        """The changes of the counts, and what later events need of these."""
        facts = [event.data for event in events]
        known, changes = await _load(asked, schema, facts, before or Known()), Changes()
        for event in events:
            fold.fold(known, changes, event)
        return Folded([*_known(known, changes), *_changes(changes)], known)


async def _load(asked: Asked, schema: str, facts: Sequence[Fact], before: Known) -> Known:
    """What these facts need: as the events before have left it, else as the tables have it."""

    async def fetch(statement: str, *arguments: Iterable[str]) -> list[Any]:
        return await asked.fetch(statement.format(schema=schema), *map(list, arguments))

    named: defaultdict[str, list[Any]] = defaultdict(list)
    for fact in facts:
        named[fact.name].append(fact)
    settled = named[RegistrationClosed.name] + named[RegistrationReopened.name]
    registration_ids = {fact.registration_id for fact in settled}
    numbers = {fact.certificate_number.lower() for fact in named[CertificateRevoked.name]}
    merged_ids = {merge.merged_id for merge in named[PersonsMerged.name]}
    person_ids = {fact.person_id for fact in named[CertificateAwarded.name] + named[CertificateRevoked.name]}
    person_ids |= merged_ids | {merge.kept_id for merge in named[PersonsMerged.name]}
    known = Known()
    if registration_ids := _missing(registration_ids, before.registrations, known.registrations):
        for id_, *cell, cancelled in await fetch(_REGISTRATIONS, registration_ids):
            known.registrations[id_] = Registration(Cell(*cell), cancelled)
    if numbers := _missing(numbers, before.certificates, known.certificates):
        for number, *cell in await fetch(_CERTIFICATES, numbers):
            known.certificates[number] = Cell(*cell)
    if person_ids:
        for merged_id, kept_id in await fetch(_KEPT_IDS, person_ids, merged_ids):
            known.kept_ids[merged_id] = kept_id
        for merged_id, kept_id in before.kept_ids.items():
            if merged_id in person_ids or kept_id in merged_ids:
                known.kept_ids[merged_id] = kept_id
        kept_ids = {known.kept_ids.get(id_, id_) for id_ in person_ids}
        kept_ids = _missing(kept_ids, before.holders, known.holders)
        for id_, year, branch, certificates in await fetch(_HOLDERS, kept_ids):
            known.holders.setdefault(id_, {})[year, branch] = certificates
    return known


def _missing(wanted: set[str], before: Mapping[str, T], known: dict[str, T]) -> set[str]:
    """Have known what was known before; what is left."""
    known |= {id_: before[id_] for id_ in wanted & before.keys()}
    return wanted - before.keys()


def _known(known: Known, changes: Changes) -> Iterator[Write]:
    yield from write(_SAVE_REGISTRATIONS, ((id_, *of.cell, of.cancelled) for id_, of in known.registrations.items()))
    yield from write(_SAVE_CERTIFICATES, ((number, *cell) for number, cell in known.certificates.items()))
    holders = (
        (id_, year, branch, certificates)
        for id_, holder in known.holders.items()
        for (year, branch), certificates in holder.items()
    )
    yield from write(_SAVE_HOLDERS, holders)
    if changes.merged:
        yield from write(_SAVE_KEPT_IDS, known.kept_ids.items())


def _changes(changes: Changes) -> Iterator[Write]:
    deltas = changes.deltas
    yield from write(_SAVE_DELTAS, ((d.position, *d.cell, *d[2:]) for d in deltas))
    yield from write(_ADD_TO_CELLS, sorted(_sums(deltas)))
    yield from write(_SAVE_PERSONS_DELTAS, changes.persons_deltas)
    yield from write(_ADD_TO_PERSONS, sorted(_persons_sums(changes.persons_deltas)))
    yield from write(_SAVE_OBJECTIVES, changes.objectives)


def _sums(deltas: Iterable[Delta]) -> Iterable[tuple[Any, ...]]:
    """Cells with what all deltas together add: an upsert takes each row once."""
    sums: dict[Cell, tuple[int, int, int]] = {}
    for _, cell, registered, beneficiaries, revoked in deltas:
        of = sums.get(cell, (0, 0, 0))
        sums[cell] = (of[0] + registered, of[1] + beneficiaries, of[2] + revoked)
    return ((*cell, *added) for cell, added in sums.items())


def _persons_sums(deltas: Iterable[PersonsDelta]) -> Iterable[tuple[int, str, int]]:
    sums: Counter[tuple[int, str]] = Counter()
    for _, year, branch, persons in deltas:
        sums[year, branch] += persons
    return ((year, branch, added) for (year, branch), added in sums.items())
