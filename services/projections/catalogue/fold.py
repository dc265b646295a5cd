"""Folds the facts of the catalogue. Pure, and immutable: what was known at an earlier position is a part of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal, TypeAlias

from contracts.envelope import StoredEvent
from contracts.facts import (
    CertificationPublished,
    CertificationWithdrawn,
    EquivalenceRecognised,
    EquivalenceRepealed,
    Fact,
    given,
)
from services.projections.catalogue.search import searched

FACTS: tuple[type[Fact], ...] = (
    CertificationPublished,
    CertificationWithdrawn,
    EquivalenceRecognised,
    EquivalenceRepealed,
)
"""The facts that are folded here; each has the tag `reference`."""

CertificationStatus: TypeAlias = Literal["UPCOMING", "IN_FORCE", "WITHDRAWN"]
EquivalenceStatus: TypeAlias = Literal["UPCOMING", "IN_FORCE", "EXPIRED", "REPEALED"]


@dataclass(frozen=True)
class Version:
    """A version as published at a position. `text`: what searches look in."""

    position: int
    fact: CertificationPublished
    text: str


@dataclass(frozen=True)
class Withdrawal:
    position: int
    fact: CertificationWithdrawn


@dataclass(frozen=True)
class Certification:
    """A certification with at least one version, in order, and its withdrawal once it is known."""

    certification_id: str
    versions: tuple[Version, ...]
    withdrawal: Withdrawal | None = None

    def in_force(self, day: date) -> Version | None:
        """The highest version with effective_from ≤ day (R1), be the certification withdrawn or not."""
        return next((one for one in reversed(self.versions) if one.fact.effective_from <= day), None)

    def shown(self, day: date) -> Version:
        """The version that says what the certification is that day: the one in force, before that the first."""
        return self.in_force(day) or self.versions[0]

    def status(self, day: date) -> CertificationStatus:
        """A withdrawal holds from its effective_from on (C6)."""
        if self.withdrawal is not None and self.withdrawal.fact.effective_from <= day:
            return "WITHDRAWN"
        return "UPCOMING" if self.in_force(day) is None else "IN_FORCE"

    def as_of(self, position: int) -> "Certification | None":
        """What was known of it at a position; None before its first version was published."""
        versions = tuple(version for version in self.versions if version.position <= position)
        withdrawal = self.withdrawal
        if withdrawal is not None and withdrawal.position > position:
            withdrawal = None
        return Certification(self.certification_id, versions, withdrawal) if versions else None


@dataclass(frozen=True)
class Repeal:
    position: int
    fact: EquivalenceRepealed


@dataclass(frozen=True)
class Equivalence:
    """An equivalence as recognised at a position, and its repeal once it is known."""

    position: int
    fact: EquivalenceRecognised
    repeal: Repeal | None = None

    def status(self, day: date) -> EquivalenceStatus:
        """First and last day are included; a repeal holds from its effective_from on (C6)."""
        if self.repeal is not None and self.repeal.fact.effective_from <= day:
            return "REPEALED"
        if day < self.fact.valid_from:
            return "UPCOMING"
        return "IN_FORCE" if day <= (given(self.fact.valid_until) or date.max) else "EXPIRED"

    def as_of(self, position: int) -> "Equivalence | None":
        """What was known of it at a position; None before it was recognised."""
        if self.position > position:
            return None
        return replace(self, repeal=None) if self.repeal is not None and self.repeal.position > position else self


@dataclass(frozen=True)
class Catalogue:
    """Certifications and equivalences by id, in the order of their ids. All facts up to `position` are in it."""

    position: int = 0
    certifications: Mapping[str, Certification] = field(default_factory=dict)
    equivalences: Mapping[str, Equivalence] = field(default_factory=dict)

    def folded(self, events: Iterable[StoredEvent[Fact]]) -> "Catalogue":
        """This catalogue and what the events say, which come after it in the log's order."""
        position, certifications, equivalences = self.position, dict(self.certifications), dict(self.equivalences)
        for event in events:
            _fold(event.data, event.position, certifications, equivalences)
            position = event.position
        return Catalogue(position, dict(sorted(certifications.items())), dict(sorted(equivalences.items())))

    def as_of(self, position: int) -> "Catalogue":
        """What was known at a position: facts only ever add to the catalogue, so that is a part of it."""
        if position >= self.position:
            return self
        certifications = {id_: then for id_, one in self.certifications.items() if (then := one.as_of(position))}
        known = {id_: before for id_, one in self.equivalences.items() if (before := one.as_of(position))}
        return Catalogue(position, certifications, known)


def _fold(
    fact: Fact, position: int, certifications: dict[str, Certification], equivalences: dict[str, Equivalence]
) -> None:
    match fact:
        case CertificationPublished(certification_id=id_):
            version = Version(position, fact, searched(fact))
            known = certifications.get(id_, Certification(id_, ()))
            certifications[id_] = replace(known, versions=(*known.versions, version))
        case CertificationWithdrawn(certification_id=id_):
            certifications[id_] = replace(certifications[id_], withdrawal=Withdrawal(position, fact))
        case EquivalenceRecognised(equivalence_id=id_):
            equivalences[id_] = Equivalence(position, fact)
        case EquivalenceRepealed(equivalence_id=id_):
            equivalences[id_] = replace(equivalences[id_], repeal=Repeal(position, fact))
        case _:
            raise TypeError(f"{fact.name} is not folded here")
