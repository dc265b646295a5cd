"""The tables of view `competencies`: how batches of events get in, and answers out."""

from collections.abc import Iterable, Sequence

import asyncpg
import msgspec

from contracts.envelope import StoredEvent
from contracts.facts import Bloc, CertificationPublished, Fact, PersonsMerged
from services.projections.follower import Connection
from services.projections.views.competencies import fold
from services.projections.views.competencies.answer import BlocKey
from services.projections.views.competencies.fold import Person, Persons

# $1: ids. Returns (merged_id, kept_id) of those that were merged.
_KEPT_IDS = "SELECT merged_id, kept_id FROM competencies.alias WHERE merged_id = ANY($1)"

# $1: kept ids. Returns their states.
_STATES = "SELECT state FROM competencies.person WHERE person_id = ANY($1)"

# $1, $2: kept ids and their states.
_SAVE_STATES = """
INSERT INTO competencies.person (person_id, state) SELECT * FROM unnest($1::text[], $2::json[])
ON CONFLICT (person_id) DO UPDATE SET state = excluded.state
"""

# $1: ids that are no longer kept.
_FORGET_STATES = "DELETE FROM competencies.person WHERE person_id = ANY($1)"

# $1, $2: merged ids and what they stand for now.
_SAVE_KEPT_IDS = """
INSERT INTO competencies.alias (merged_id, kept_id) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (merged_id) DO UPDATE SET kept_id = excluded.kept_id
"""

# $1..$4: certification, version, bloc id and the bloc as published, of each bloc.
_SAVE_BLOCS = """
INSERT INTO competencies.bloc (certification_id, version, bloc_id, bloc)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::json[])
"""

# $1: any id of a person. Returns the view's position and the person's state (null: unknown), of one snapshot.
_FIND = """
SELECT v.position,
       (SELECT p.state FROM competencies.person p
        WHERE p.person_id = coalesce((SELECT a.kept_id FROM competencies.alias a WHERE a.merged_id = $1), $1)) AS state
FROM projections.view v WHERE v.name = 'competencies'
"""

# $1..$3: certification, version and bloc id of each bloc wanted.
_BLOCS = """
SELECT b.certification_id, b.version, b.bloc_id, b.bloc
FROM competencies.bloc b
JOIN unnest($1::text[], $2::int[], $3::text[]) AS wanted (certification_id, version, bloc_id)
USING (certification_id, version, bloc_id)
"""

_person_decoder = msgspec.json.Decoder(Person)
_bloc_decoder = msgspec.json.Decoder(Bloc)


class CompetenciesView:
    """The view as its follower sees it."""

    name = "competencies"
    facts: Sequence[type[Fact]] = (*fold.FACTS, CertificationPublished)

    async def apply(self, connection: Connection, events: Sequence[StoredEvent[Fact]]) -> None:
        """Fold the events into the tables, in the caller's transaction."""
        catalogue = [event.data for event in events if isinstance(event.data, CertificationPublished)]
        careers = [event for event in events if not isinstance(event.data, CertificationPublished)]
        await _save_blocs(connection, catalogue)
        if careers:
            persons = await _load(connection, careers)
            for event in careers:
                persons.fold(event)
            await _save(connection, persons)


class CompetenciesTables:
    """The tables, to read. Takes a connection of the pool for one statement at a time."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, person_id: str) -> tuple[int, Person | None]:
        """The position of the view, and the person of this id; None when it knows of none."""
        row = await self._pool.fetchrow(_FIND, person_id)
        assert row is not None, "the view's migration makes its row"
        return row["position"], None if row["state"] is None else _person_decoder.decode(row["state"])

    async def blocs(self, keys: Iterable[BlocKey]) -> dict[BlocKey, Bloc]:
        """These blocs, as far as they are known. They never change, so any later snapshot tells the same."""
        columns = list(zip(*keys, strict=True)) or [(), (), ()]
        rows = await self._pool.fetch(_BLOCS, *columns)
        return {BlocKey(*key): _bloc_decoder.decode(bloc) for *key, bloc in rows}


async def _load(connection: Connection, events: Sequence[StoredEvent[Fact]]) -> Persons:
    ids: set[str] = set()
    for event in events:
        if isinstance(event.data, PersonsMerged):
            ids |= {event.data.kept_id, event.data.merged_id}
        else:
            ids.add(event.data.person_id)  # type: ignore[attr-defined]
    kept_ids = {row["merged_id"]: row["kept_id"] for row in await connection.fetch(_KEPT_IDS, list(ids))}
    rows = await connection.fetch(_STATES, list({kept_ids.get(id_, id_) for id_ in ids}))
    states = [_person_decoder.decode(row["state"]) for row in rows]
    return Persons({person.person_id: person for person in states}, kept_ids)


async def _save(connection: Connection, persons: Persons) -> None:
    changed = sorted(persons.changed)
    states = [msgspec.json.encode(persons.persons[person_id]).decode() for person_id in changed]
    await connection.execute(_SAVE_STATES, changed, states)
    if persons.gone:
        await connection.execute(_FORGET_STATES, list(persons.gone))
        await connection.execute(_SAVE_KEPT_IDS, list(persons.kept_ids), list(persons.kept_ids.values()))


async def _save_blocs(connection: Connection, published: Sequence[CertificationPublished]) -> None:
    rows = [
        (version.certification_id, version.version, bloc.bloc_id, msgspec.json.encode(bloc).decode())
        for version in published
        for bloc in version.blocs
    ]
    if rows:
        await connection.execute(_SAVE_BLOCS, *zip(*rows, strict=True))
