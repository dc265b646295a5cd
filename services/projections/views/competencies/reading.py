"""Answers about persons, now and as of a position."""

from datetime import date

import asyncpg

from contracts.facts import Fact
from contracts.facts.fact import person as person_tag
from contracts.problems import Erased, NotFound
from services.log.reader import Entry
from services.projections.moments import Moments
from services.projections.positions import Positions
from services.projections.views.competencies.answer import Competencies, bloc_keys, competencies
from services.projections.views.competencies.fold import FACTS, Person, Persons
from services.projections.views.competencies.tables import CompetenciesTables, CompetenciesView

# $1: tags, $2: the last position, $3: types. Returns the events with any of these tags, in order, each once.
_CAREER = """
SELECT e.position, t.name, e.entry
FROM log.event e JOIN log.type t ON t.id = e.type
WHERE e.position IN (
    SELECT g.position FROM log.tag g WHERE g.tag = ANY($1) AND g.position <= $2
        AND g.type IN (SELECT id FROM log.type WHERE name = ANY($3))
)
ORDER BY e.position
"""


class CompetenciesReader:
    """Says what persons hold."""

    def __init__(self, pool: asyncpg.Pool, positions: Positions, moments: Moments) -> None:
        self._pool = pool
        self._tables = CompetenciesTables(pool)
        self._positions = positions
        self._moments = moments

    async def answer(
        self, person_id: str, *, at: date | None, as_of: str | None, min_position: int | None
    ) -> tuple[Competencies, date]:
        """What the person holds, and the day it was judged on.

        Raises NotFound and Erased with the position they hold at, Malformed, and Unavailable when the view lags.
        """
        if min_position is not None:
            await self._positions.reached(CompetenciesView.name, min_position)
        moment = None if as_of is None else await self._moments.moment(CompetenciesView.name, as_of)
        position, person = await self._tables.find(person_id)
        if person is not None and person.erased:  # now, whatever was known as of then
            raise Erased("This person's identity has been erased.", position=position)
        if moment is not None:
            position = moment.position
            person = None if person is None else await self._then(person, person_id, position)
        if person is None:
            raise NotFound("No person has this id.", position=position)
        day = at or (self._moments.today() if moment is None else moment.day)
        blocs = await self._tables.blocs(bloc_keys(person))
        return competencies(person, blocs, position=position, at=day), day

    async def _then(self, person: Person, person_id: str, position: int) -> Person | None:
        """The person of this id as known at a position: the events of all who are the same person now, folded anew.

        Who was the same person then is among them, so every event finds those it is about.
        """
        tags = [person_tag(id_) for id_ in (person.person_id, *person.merged_ids)]
        rows = await self._pool.fetch(_CAREER, tags, position, _types(FACTS))
        then = Persons({}, {})
        for row in rows:
            then.fold(Entry(*row).event())
        return then.find(person_id)


def _types(facts: tuple[type[Fact], ...]) -> list[str]:
    return [fact.type_name() for fact in facts]
