"""Whose registrations a person has, and whose a registration is: for clients that see only some organisers'."""

from typing import Literal

from contracts.facts import CandidateRegistered, PersonRegistered, given
from contracts.tags import canonical_tag
from services.projections.careers import read_career
from services.projections.tagged import TaggedEvents


class RegistrantsReader:
    """Says so out of the log itself: of all registrations that there ever were, whatever became of them."""

    def __init__(self, tagged: TaggedEvents) -> None:
        self._tagged = tagged

    async def organisers_of(self, kind: Literal["person", "registration"], id_: str) -> frozenset[str] | None:
        """The organisers of the registration, or of all the person's, under every id the person has.

        Registrations without an organiser add none. None when there is no such thing.
        """
        if kind == "person":
            found = await read_career(self._tagged, id_, types=(PersonRegistered, CandidateRegistered))
        else:
            tag = canonical_tag(f"registration:{id_}")
            found = await self._tagged.read([tag] if tag else [], types=(CandidateRegistered,))
        facts = [event.data for event in found.events()]
        organisers = (given(fact.organiser) for fact in facts if isinstance(fact, CandidateRegistered))
        return frozenset(organiser for organiser in organisers if organiser) if facts else None
