"""The tables of view `competencies`: how batches of events get in, and answers out."""

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

import asyncpg
import msgspec

from contracts.facts import Bloc, CertificationPublished, Fact, PersonErased, PersonRegistered, PersonsMerged
from contracts.facts.fact import person as person_tag
from services.projections.builds import Asked, Live
from services.projections.events import Event, Placed
from services.projections.parking import keys_of
from services.projections.views.competencies import fold
from services.projections.views.competencies.answer import BlocKey
from services.projections.views.competencies.fold import Person, Persons
from services.projections.writes import Folded, Write, write

# $1: ids. Returns each with the id that stands for it (null: itself) and the state of that person (null: unknown).
_STATES = """
SELECT i.id, a.kept_id, p.state FROM unnest($1::text[]) i(id)
LEFT JOIN {schema}.alias a ON a.merged_id = i.id
LEFT JOIN {schema}.person p ON p.person_id = coalesce(a.kept_id, i.id)
"""

# $1, $2: kept ids and their states.
_SAVE_STATES = """
INSERT INTO {schema}.person (person_id, state) SELECT * FROM unnest($1::text[], $2::json[]) WHERE {due}
ON CONFLICT (person_id) DO UPDATE SET state = excluded.state
"""

# $1: ids that are no longer kept.
_FORGET_STATES = "DELETE FROM {schema}.person WHERE person_id = ANY($1) AND {due}"

# $1, $2: merged ids and what they stand for now.
_SAVE_KEPT_IDS = """
INSERT INTO {schema}.alias (merged_id, kept_id) SELECT * FROM unnest($1::text[], $2::text[]) WHERE {due}
ON CONFLICT (merged_id) DO UPDATE SET kept_id = excluded.kept_id
"""

# $1..$4: certification, version, bloc id and the bloc as published, of each bloc.
_SAVE_BLOCS = """
INSERT INTO {schema}.bloc (certification_id, version, bloc_id, bloc)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::json[]) WHERE {due}
"""

# $1: any id of a person, $2: the schema, $3: the tag of that person. Returns one row of one snapshot, or none when the
# live tables are elsewhere: the view's position; the person's state (null: unknown); whether the log says by now that
# the person is erased, under this id or one that it was merged into; how many events of the person wait, from where on.
_FIND = """
WITH RECURSIVE
known (person_id) AS (SELECT coalesce((SELECT a.kept_id FROM {schema}.alias a WHERE a.merged_id = $1), $1)),
kept (tag) AS (
    SELECT $3::text
    UNION
    SELECT 'person:' || (convert_from(e.entry, 'UTF8')::json -> 'data' ->> 'kept_id')
    FROM kept k JOIN log.tag g ON g.tag = k.tag AND g.type = ANY (ARRAY(SELECT id FROM log.type WHERE name = ANY ($4)))
    JOIN log.event e ON e.position = g.position
)
SELECT v.position,
       (SELECT p.state FROM {schema}.person p JOIN known USING (person_id)) AS state,
       EXISTS (SELECT FROM kept k JOIN log.tag g ON g.tag = k.tag
               AND g.type = ANY (ARRAY(SELECT id FROM log.type WHERE name = ANY ($5)))) AS erased,
       w.events AS parked, w.first AS parked_from
FROM projections.view v
LEFT JOIN LATERAL (
    SELECT count(DISTINCT w.position) AS events, min(w.position) AS first FROM projections.parked w
    WHERE w.schema = v.schema AND w.key IN (SELECT 'person:' || person_id FROM known UNION ALL SELECT $3)
) w ON v.parked > 0
WHERE v.name = 'competencies' AND v.schema = $2
"""

# $1..$3: certification, version and bloc id of each bloc wanted.
_BLOCS = """
SELECT b.certification_id, b.version, b.bloc_id, b.bloc
FROM {schema}.bloc b
JOIN unnest($1::text[], $2::int[], $3::text[]) AS wanted (certification_id, version, bloc_id)
USING (certification_id, version, bloc_id)
"""

KEPT_PERSONS_MAX = 20_000
"""Whose states a follower keeps in memory, 1 to 3 kB each: a next event comes soon, or not for years."""

_encode = msgspec.json.Encoder().encode
_person_decoder = msgspec.json.Decoder(Person)
_bloc_decoder = msgspec.json.Decoder(Bloc)


class CompetenciesView:
    """The view as its follower sees it."""

    name = "competencies"
    version = 1
    layout = 1
    ddl = (resources.files(__package__) / "tables.sql").read_text(encoding="utf-8")
    merges = True
    facts: Sequence[type[Fact]] = (*fold.FACTS, CertificationPublished)

    def keys(self, event: Event) -> Sequence[str]:
        """The persons that the event is about, or the certification."""
        return keys_of(event)

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Persons | None = None) -> Folded:
        """The new states of the persons that the events are about, and the blocs that were published."""
        careers = [event for event in events if event.data.name != CertificationPublished.name]
        persons = before or Persons({}, {})
        persons.begin()
        await _load(asked, schema, careers, persons)
        for event in careers:
            persons.fold(event)
        published = (event.data for event in events if isinstance(event.data, CertificationPublished))
        blocs = _blocs(published) if len(careers) < len(events) else ()
        writes = [*write(_SAVE_BLOCS, blocs), *_states(persons)]
        persons.trim(KEPT_PERSONS_MAX)
        return Folded(writes, persons)


class Found(NamedTuple):
    """What the view and the log know of an id. person: None when it is nobody's.

    schema: of the tables it was found in. erased: by what the log says now. parked: how many of the person's events
    are not in the view, from position `parked_from` on.
    """

    position: int
    schema: str
    person: Person | None
    erased: bool
    parked: int
    parked_from: int


class CompetenciesTables:
    """The tables, to read. Takes a connection of the pool for one statement at a time."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._live = Live(pool, CompetenciesView())

    async def find(self, person_id: str) -> Found:
        """What is known of this id, by one snapshot."""
        merged, erased = PersonsMerged.wire_names(), PersonErased.wire_names()
        while True:
            schema = await self._live.schema()
            try:
                row = await self._pool.fetchrow(
                    _FIND.format(schema=schema), person_id, schema, person_tag(person_id), merged, erased
                )
            except asyncpg.UndefinedTableError:
                row = None
            if row is not None:
                break
            self._live.forget()  # a rebuild has put others in their place
        person = None if row["state"] is None else _person_decoder.decode(row["state"])
        return Found(row["position"], schema, person, row["erased"], row["parked"] or 0, row["parked_from"] or 0)

    async def blocs(self, schema: str, keys: Iterable[BlocKey]) -> dict[BlocKey, Bloc]:
        """These blocs, as far as they are known. They never change, so any later snapshot tells the same."""
        columns = list(zip(*keys, strict=True)) or [(), (), ()]
        rows = await self._pool.fetch(_BLOCS.format(schema=schema), *columns)
        return {BlocKey(*key): _bloc_decoder.decode(bloc) for *key, bloc in rows}


async def _load(asked: Asked, schema: str, events: Sequence[Event], persons: Persons) -> None:
    """Have the persons of these events known."""
    ids: set[str] = set()
    new: set[str] = set()
    for event in events:
        fact: Any = event.data
        if fact.name == PersonRegistered.name:
            new.add(fact.person_id)
        elif fact.name == PersonsMerged.name:
            ids |= {fact.kept_id, fact.merged_id}
        else:
            ids.add(fact.person_id)
    ids -= new  # who is registered here has no state yet
    if unknown := [id_ for id_ in ids if persons.find(id_) is None]:
        for id_, kept_id, state in await asked.fetch(_STATES.format(schema=schema), unknown):
            persons.add(id_, kept_id or id_, None if state is None else _person_decoder.decode(state))


def _states(persons: Persons) -> Iterator[Write]:
    if changed := sorted(persons.changed):
        yield Write(_SAVE_STATES, [changed, [_encode(persons.persons[id_]).decode() for id_ in changed]])
    if persons.gone:
        yield Write(_FORGET_STATES, [list(persons.gone)])
        yield from write(_SAVE_KEPT_IDS, ((id_, persons.kept_ids[id_]) for id_ in persons.moved))


def _blocs(published: Iterable[CertificationPublished]) -> Iterator[tuple[str, int, str, str]]:
    for version in published:
        for bloc in version.blocs:
            yield version.certification_id, version.version, bloc.bloc_id, _encode(bloc).decode()
