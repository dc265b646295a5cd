"""Answers about registrations, now and as of a position."""

from contracts.facts import PersonsMerged
from contracts.facts.fact import person as person_tag
from contracts.problems import NotFound
from contracts.tags import canonical_tag
from services.projections.catalogue.reading import CatalogueReader
from services.projections.moments import Moments
from services.projections.positions import LOG, Positions
from services.projections.registrations.fold import RegistrationAnswer, answer, folded
from services.projections.tagged import TaggedEvents
from services.projections.versions import version_of


class RegistrationsReader:
    """Says what became of registrations: as the log knows, never behind it."""

    def __init__(
        self, tagged: TaggedEvents, catalogue: CatalogueReader, positions: Positions, moments: Moments
    ) -> None:
        self._tagged = tagged
        self._catalogue = catalogue
        self._positions = positions
        self._moments = moments

    async def answer(
        self, registration_id: str, *, as_of: str | None, min_position: int | None
    ) -> tuple[int, int, RegistrationAnswer]:
        """The position answered for, the position of the last event that the answer comes from, and the answer.

        Raises NotFound with the position, Malformed, and Unavailable for a position that does not come.
        """
        if min_position is not None:
            await self._positions.reached(LOG, min_position)
        until = None if as_of is None else (await self._moments.moment(LOG, as_of)).position
        tag = canonical_tag(f"registration:{registration_id}")
        position, entries = tagged = await self._tagged.read([tag] if tag else [], until=until)
        registration = folded(tagged.events())
        if registration is None:
            raise NotFound("No registration has this id.", position=position)
        inscription = registration.inscription
        version = await version_of(self._catalogue, inscription.certification_id, inscription.version)
        kept_id, merged_at = await self._kept_id(inscription.person_id, position)
        return position, max(entries[-1].position, merged_at), answer(registration, version, kept_id)

    async def _kept_id(self, person_id: str, position: int) -> tuple[str, int]:
        """The id by which the person is known at a position, and where the last merge on the way stands (0: none)."""
        merged_at = 0
        while True:
            merges = await self._tagged.read([person_tag(person_id)], until=position, types=[PersonsMerged])
            for event in merges.events():
                if isinstance(fact := event.data, PersonsMerged) and fact.merged_id == person_id:
                    person_id, merged_at = fact.kept_id, event.position
                    break
            else:
                return person_id, merged_at
