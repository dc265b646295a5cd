"""The catalogue as known now or as of a position, out of the log itself."""

from datetime import date
from typing import NamedTuple

from contracts.facts.fact import REFERENCE
from services.projections.catalogue.fold import FACTS, Catalogue
from services.projections.moments import Moments
from services.projections.positions import LOG, Positions
from services.projections.tagged import TaggedEvents


class Known(NamedTuple):
    """The catalogue as known at a position, and the day to judge it on. `head`: of the log when it was read."""

    catalogue: Catalogue
    position: int
    day: date
    head: int


class CatalogueReader:
    """Keeps the catalogue folded, and catches up with the log whenever it is asked: it never lags."""

    def __init__(self, tagged: TaggedEvents, positions: Positions, moments: Moments) -> None:
        self._tagged = tagged
        self._positions = positions
        self._moments = moments
        self._catalogue = Catalogue()

    async def known(self, *, at: date | None, as_of: str | None, min_position: int | None) -> Known:
        """What is known. The day is `at`, else that of `as_of`, else today.

        Raises Malformed, and Unavailable when the log does not reach the position asked for.
        """
        if min_position is not None:
            await self._positions.reached(LOG, min_position)
        moment = None if as_of is None else await self._moments.moment(LOG, as_of)
        catalogue, head = await self._caught_up()
        if moment is None:
            return Known(catalogue, head, at or self._moments.today(), head)
        return Known(catalogue.as_of(moment.position), moment.position, at or moment.day, head)

    async def _caught_up(self) -> tuple[Catalogue, int]:
        """The catalogue at the head of the log. Requests side by side may fold the same news: each is right."""
        catalogue = self._catalogue
        news = await self._tagged.read([REFERENCE], after=catalogue.position, types=FACTS)
        if news.entries:
            catalogue = catalogue.folded(news.events())
            if catalogue.position > self._catalogue.position:
                self._catalogue = catalogue
        return catalogue, news.position
