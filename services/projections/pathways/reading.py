"""Pathways of persons, now and as of a position: folded from the log whenever asked, so they never lag."""

from datetime import date

from contracts.problems import Erased, NotFound
from services.projections.careers import read_career
from services.projections.catalogue.reading import CatalogueReader, Known
from services.projections.pathways.answer import Pathway, pathways
from services.projections.pathways.fold import FACTS, career, erased
from services.projections.tagged import TaggedEvents


class PathwaysReader:
    """Says how far persons are from certifications."""

    def __init__(self, tagged: TaggedEvents, catalogue: CatalogueReader) -> None:
        self._tagged = tagged
        self._catalogue = catalogue

    async def answer(
        self, person_id: str, *, at: date | None, as_of: str | None, min_position: int | None
    ) -> tuple[list[Pathway], Known]:
        """The person's pathways, and what position and day they hold at.

        Raises NotFound and Erased with the position they hold at, Malformed, and Unavailable when the log does not
        reach the position asked for.
        """
        known = await self._catalogue.known(at=at, as_of=as_of, min_position=min_position)
        events = (await read_career(self._tagged, person_id, until=known.head, types=FACTS)).events()
        if erased(events):  # now, whatever was known as of then
            raise Erased("This person's identity has been erased.", position=known.head)
        held = career(events, person_id, as_of=known.position)
        if held is None:
            raise NotFound("No person has this id.", position=known.position)
        return pathways(held, known.catalogue, known.day), known
