"""How batches of events get into the tables of view `counts`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from contracts.envelope import StoredEvent
from contracts.facts import (
    CertificateAwarded,
    CertificateRevoked,
    Fact,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
)
from services.projections.follower import Connection
from services.projections.views.counts import fold
from services.projections.views.counts.fold import Cell, Changes, Delta, Known, PersonsDelta, Registration

# $1: registration ids.
_REGISTRATIONS = """
SELECT registration_id, year, certification_id, family, reporting_status, branch, region, cancelled
FROM counts.registration WHERE registration_id = ANY($1)
"""

# $1: certificate numbers in lower case.
_CERTIFICATES = """
SELECT certificate_number, year, certification_id, family, reporting_status, branch, region
FROM counts.certificate WHERE certificate_number = ANY($1)
"""

# $1: person ids, $2: ids that will be merged. Returns what either is merged into, or has had merged into it.
_KEPT_IDS = "SELECT merged_id, kept_id FROM counts.alias WHERE merged_id = ANY($1) OR kept_id = ANY($2)"

# $1: kept person ids.
_HOLDERS = "SELECT person_id, year, branch, certificates FROM counts.holder WHERE person_id = ANY($1)"

# $1..$8: the columns.
_SAVE_REGISTRATIONS = """
INSERT INTO counts.registration
    (registration_id, year, certification_id, family, reporting_status, branch, region, cancelled)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[])
ON CONFLICT (registration_id) DO UPDATE SET cancelled = excluded.cancelled
WHERE counts.registration.cancelled <> excluded.cancelled
"""

# $1..$7: the columns. Those that were read for their revocation are there already.
_SAVE_CERTIFICATES = """
INSERT INTO counts.certificate
    (certificate_number, year, certification_id, family, reporting_status, branch, region)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (certificate_number) DO NOTHING
"""

# $1..$4: the columns, with the certificates there are now.
_SAVE_HOLDERS = """
INSERT INTO counts.holder (person_id, year, branch, certificates)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::int[])
ON CONFLICT (person_id, year, branch) DO UPDATE SET certificates = excluded.certificates
WHERE counts.holder.certificates <> excluded.certificates
"""

# $1, $2: merged ids and what they stand for now.
_SAVE_KEPT_IDS = """
INSERT INTO counts.alias (merged_id, kept_id) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (merged_id) DO UPDATE SET kept_id = excluded.kept_id
"""

# $1..$10: the columns.
_SAVE_DELTAS = """
INSERT INTO counts.delta
    (position, year, certification_id, family, reporting_status, branch, region, registered, beneficiaries, revoked)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::int[], $9::int[], $10::int[])
"""

# $1..$9: cells, each once, and what to add to each.
_ADD_TO_CELLS = """
INSERT INTO counts.cell AS c
    (year, certification_id, family, reporting_status, branch, region, registered, beneficiaries, revoked)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::int[], $8::int[], $9::int[])
ON CONFLICT (year, certification_id, family, reporting_status, branch, region) DO UPDATE SET
    registered = c.registered + excluded.registered,
    beneficiaries = c.beneficiaries + excluded.beneficiaries,
    revoked = c.revoked + excluded.revoked
"""

# $1..$4: the columns.
_SAVE_PERSONS_DELTAS = """
INSERT INTO counts.persons_delta (position, year, branch, persons)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::int[])
"""

# $1..$3: year and branch, each pair once, and what to add to each.
_ADD_TO_PERSONS = """
INSERT INTO counts.persons AS p (year, branch, persons)
SELECT * FROM unnest($1::int[], $2::text[], $3::int[])
ON CONFLICT (year, branch) DO UPDATE SET persons = p.persons + excluded.persons
"""

# $1..$3: the columns.
_SAVE_OBJECTIVES = """
INSERT INTO counts.objective (position, year, beneficiaries)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[])
"""


class CountsView:
    """The view as its follower sees it."""

    name = "counts"
    facts: Sequence[type[Fact]] = fold.FACTS

    async def apply(self, connection: Connection, events: Sequence[StoredEvent[Fact]]) -> None:
        """Fold the events into the tables, in the caller's transaction."""
        known, changes = await _load(connection, [event.data for event in events]), Changes()
        for event in events:
            fold.fold(known, changes, event)
        await _save_known(connection, known, changes)
        await _save_changes(connection, changes)


async def _load(connection: Connection, facts: Sequence[Fact]) -> Known:
    registration_ids = {f.registration_id for f in facts if isinstance(f, RegistrationClosed | RegistrationReopened)}
    numbers = {f.certificate_number.lower() for f in facts if isinstance(f, CertificateRevoked)}
    merges = [fact for fact in facts if isinstance(fact, PersonsMerged)]
    merged_ids = {merge.merged_id for merge in merges}
    person_ids = {f.person_id for f in facts if isinstance(f, CertificateAwarded | CertificateRevoked)}
    person_ids |= merged_ids | {merge.kept_id for merge in merges}
    known = Known()
    if registration_ids:
        for id_, *cell, cancelled in await connection.fetch(_REGISTRATIONS, list(registration_ids)):
            known.registrations[id_] = Registration(Cell(*cell), cancelled)
    if numbers:
        for number, *cell in await connection.fetch(_CERTIFICATES, list(numbers)):
            known.certificates[number] = Cell(*cell)
    if person_ids:
        for merged_id, kept_id in await connection.fetch(_KEPT_IDS, list(person_ids), list(merged_ids)):
            known.kept_ids[merged_id] = kept_id
        kept_ids = {known.kept_ids.get(id_, id_) for id_ in person_ids}
        for id_, year, branch, certificates in await connection.fetch(_HOLDERS, list(kept_ids)):
            known.holders.setdefault(id_, {})[year, branch] = certificates
    return known


async def _save_known(connection: Connection, known: Known, changes: Changes) -> None:
    registrations = ((id_, *of.cell, of.cancelled) for id_, of in known.registrations.items())
    await _write(connection, _SAVE_REGISTRATIONS, registrations)
    await _write(connection, _SAVE_CERTIFICATES, ((number, *cell) for number, cell in known.certificates.items()))
    holders = (
        (id_, year, branch, certificates)
        for id_, holder in known.holders.items()
        for (year, branch), certificates in holder.items()
    )
    await _write(connection, _SAVE_HOLDERS, holders)
    if changes.merged:
        await _write(connection, _SAVE_KEPT_IDS, known.kept_ids.items())


async def _save_changes(connection: Connection, changes: Changes) -> None:
    deltas = changes.deltas
    await _write(connection, _SAVE_DELTAS, ((d.position, *d.cell, *d[2:]) for d in deltas))
    await _write(connection, _ADD_TO_CELLS, sorted(_sums(deltas)))
    await _write(connection, _SAVE_PERSONS_DELTAS, changes.persons_deltas)
    await _write(connection, _ADD_TO_PERSONS, sorted(_persons_sums(changes.persons_deltas)))
    await _write(connection, _SAVE_OBJECTIVES, changes.objectives)


async def _write(connection: Connection, statement: str, rows: Iterable[Iterable[Any]]) -> None:
    """Give the statement its rows, a column each; nothing is asked when there are none."""
    if columns := list(zip(*rows, strict=True)):
        await connection.execute(statement, *columns)


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
