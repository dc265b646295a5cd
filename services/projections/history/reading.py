"""Finds a person's events: those of every id that is a name of the person now."""

from typing import NamedTuple

from contracts.facts import PersonErased
from contracts.problems import Erased, NotFound
from services.log.reader import Entry
from services.projections.careers import read_career
from services.projections.positions import LOG, Positions
from services.projections.tagged import TaggedEvents


class History(NamedTuple):
    """A part of a person's events in order. position: of the log they are complete for; more: others come after."""

    position: int
    entries: list[Entry]
    more: bool


class HistoriesReader:
    """Says what happened to persons: as the log knows, never behind it."""

    def __init__(self, tagged: TaggedEvents, positions: Positions) -> None:
        self._tagged = tagged
        self._positions = positions

    async def history(self, person_id: str, *, after: int, limit: int, min_position: int | None) -> History:
        """At most `limit` events of the person behind position `after`.

        Raises NotFound and Erased with the position they hold at, and Unavailable for a position that does not come.
        """
        if min_position is not None:
            await self._positions.reached(LOG, min_position)
        position, entries = career = await read_career(self._tagged, person_id)
        if not entries:
            raise NotFound("No person has this id.", position=position)
        if any(isinstance(event.data, PersonErased) for event in career.events()):
            raise Erased("This person's identity has been erased.", position=position)
        behind = [entry for entry in entries if entry.position > after]
        return History(position, behind[:limit], more=len(behind) > limit)
