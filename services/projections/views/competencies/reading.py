"""Answers about persons, now and as of a position."""

import re
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import asyncpg

from contracts.envelope import StoredEvent
from contracts.facts import Bloc, CertificationPublished, Fact
from contracts.facts.fact import REFERENCE
from contracts.facts.fact import person as person_tag
from contracts.problems import Erased, NotFound
from services.projections.answers import waiting
from services.projections.moments import Moments
from services.projections.positions import Positions
from services.projections.tagged import TaggedEvents
from services.projections.views.competencies.answer import BlocKey, Competencies, bloc_keys, competencies
from services.projections.views.competencies.fold import FACTS, Person, Persons
from services.projections.views.competencies.grounds import Grounds, grounds
from services.projections.views.competencies.tables import CompetenciesTables, CompetenciesView

_PERSON_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
"""Anything else is nobody's id, and may hold what PostgreSQL takes in no text."""


class _Known(NamedTuple):
    """A person at a position, the blocs that the person has something of, and the day of that position."""

    person: Person
    blocs: Mapping[BlocKey, Bloc]
    position: int
    day: date


class CompetenciesReader:
    """Says what persons hold."""

    def __init__(self, pool: asyncpg.Pool, positions: Positions, moments: Moments) -> None:
        self._tagged = TaggedEvents(pool)
        self._tables = CompetenciesTables(pool)
        self._positions = positions
        self._moments = moments

    async def answer(
        self, person_id: str, *, at: date | None, as_of: str | None, min_position: int | None
    ) -> tuple[Competencies, date]:
        """What the person holds, and the day it was judged on.

        Raises NotFound and Erased with the position they hold at, Malformed, and Unavailable when the view lags or the
        person's events wait for a repair.
        """
        known = await self._known(person_id, as_of=as_of, min_position=min_position)
        day = at or known.day
        return competencies(known.person, known.blocs, position=known.position, at=day), day

    async def grounds(self, person_id: str, *, as_of: str | None, min_position: int | None) -> Grounds:
        """The positions that the answer rests on. Raises as `answer` does."""
        known = await self._known(person_id, as_of=as_of, min_position=min_position)
        answer = competencies(known.person, known.blocs, position=known.position, at=known.day)
        career = await self._career(known.person, known.position)
        catalogue = await self._tagged.read([REFERENCE], until=known.position, types=[CertificationPublished])
        published = {
            (event.data.certification_id, event.data.version): event.position
            for event in catalogue.events()
            if isinstance(event.data, CertificationPublished)
        }
        return grounds(answer, known.person, career, published)

    async def _known(self, person_id: str, *, as_of: str | None, min_position: int | None) -> _Known:
        if min_position is not None:
            await self._positions.reached(CompetenciesView.name, min_position)
        moment = None if as_of is None else await self._moments.moment(CompetenciesView.name, as_of)
        found = await self._tables.find(person_id if _PERSON_ID(person_id) else "")
        position, person = found.position, found.person
        if found.erased or (person is not None and person.erased):  # now, whatever was known as of then
            raise Erased("This person's identity has been erased.", position=position)
        if moment is not None:
            position = moment.position
        if found.parked and found.parked_from <= position:
            raise waiting(found.parked, position=position)
        if moment is not None:
            person = None if person is None else await self._then(person, person_id, position)
        if person is None:
            raise NotFound("No person has this id.", position=position)
        wanted = bloc_keys(person)
        blocs = await self._tables.blocs(found.schema, wanted)
        if wanted - blocs.keys():  # their certification was parked: a validation comes after it
            raise waiting(len(wanted - blocs.keys()), position=position)
        return _Known(person, blocs, position, self._moments.today() if moment is None else moment.day)

    async def _then(self, person: Person, person_id: str, position: int) -> Person | None:
        """The person of this id as known at a position: the events of all who are the same person now, folded anew.

        Who was the same person then is among them, so every event finds those it is about.
        """
        then = Persons({}, {})
        for event in await self._career(person, position):
            then.fold(event)
        return then.find(person_id)

    async def _career(self, person: Person, position: int) -> list[StoredEvent[Fact]]:
        """The events of all ids of the person, up to a position."""
        tags = [person_tag(id_) for id_ in (person.person_id, *person.merged_ids)]
        return (await self._tagged.read(tags, until=position, types=FACTS)).events()
