"""Folds the events of a person into what counts towards certifications. Pure."""

from collections.abc import Sequence
from datetime import date

from contracts.envelope import StoredEvent
from contracts.facts import (
    BlocInvalidated,
    BlocValidated,
    CertificateAwarded,
    CertificateRevoked,
    Fact,
    PersonErased,
    PersonRegistered,
    PersonsMerged,
)

FACTS: tuple[type[Fact], ...] = (
    PersonRegistered,
    PersonsMerged,
    PersonErased,
    BlocValidated,
    BlocInvalidated,
    CertificateAwarded,
    CertificateRevoked,
)
"""The facts of persons that are folded here; each has a person tag."""


class Career:
    """Live validations by id, and live certificates of kind CERTIFICATION by number in lower case (A4)."""

    def __init__(self) -> None:
        self.validations: dict[str, BlocValidated] = {}
        self.certificates: dict[str, CertificateAwarded] = {}

    def certifications(self, day: date) -> list[CertificateAwarded]:
        """Those awarded by that day."""
        return [award for award in self.certificates.values() if award.awarded_on <= day]

    def blocs(self, day: date) -> frozenset[str]:
        """The blocs held that day: usable then, or a component of a certificate awarded by then (B3, B4).

        Under which certification a bloc was validated does not matter.
        """
        usable = {v.bloc_id for v in self.validations.values() if v.validated_on <= day <= v.usable_until}
        components = {component.bloc_id for award in self.certifications(day) for component in award.components}
        return frozenset(usable | components)


def erased(events: Sequence[StoredEvent[Fact]]) -> bool:
    """Whether the person of these events has been erased."""
    return any(isinstance(event.data, PersonErased) for event in events)


def career(events: Sequence[StoredEvent[Fact]], person_id: str, *, as_of: int) -> Career | None:
    """What was known at a position of the person of this id; None when nobody was known by it.

    The events may go on behind that position, and be about ids that were not the same person yet.
    """
    facts = [event.data for event in events if event.position <= as_of]
    names = _names([fact for fact in facts if isinstance(fact, PersonsMerged)], person_id)
    if not any(isinstance(fact, PersonRegistered) and fact.person_id == person_id for fact in facts):
        return None
    folded = Career()
    for fact in facts:
        if not isinstance(fact, PersonsMerged) and fact.person_id in names:  # type: ignore[attr-defined]
            _fold(folded, fact)
    return folded


def _names(merges: Sequence[PersonsMerged], person_id: str) -> set[str]:
    """All ids of the person after these merges, in their order."""
    names = {person_id}
    joined = True
    while joined:
        joined = False
        for merge in merges:
            if (merge.kept_id in names) != (merge.merged_id in names):
                names |= {merge.kept_id, merge.merged_id}
                joined = True
    return names


def _fold(folded: Career, fact: Fact) -> None:
    match fact:
        case BlocValidated():
            folded.validations[fact.validation_id] = fact
        case BlocInvalidated():
            del folded.validations[fact.validation_id]
        case CertificateAwarded(kind="CERTIFICATION"):
            folded.certificates[fact.certificate_number.lower()] = fact
        case CertificateRevoked():
            folded.certificates.pop(fact.certificate_number.lower(), None)  # those of kind BLOCS are not here
