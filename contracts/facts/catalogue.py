"""Facts of the catalogue: certifications, equivalences between them, objectives of the branch."""

from typing import Literal

from contracts.facts.fact import (
    REFERENCE,
    UNSET,
    Fact,
    FicheCode,
    Label,
    Level,
    Part,
    Positive,
    Reference,
    RomeCode,
    Slug,
    UnsetType,
    Uuid,
    date,
)

CertificationFamily = Literal["CQPM", "CQPI", "CCPM", "CCPI"]
Route = Literal["FORMATION", "CONTRAT_PRO", "APPRENTISSAGE", "VAE", "RECONVERSION", "CANDIDAT_LIBRE"]


class Competence(Part, frozen=True, kw_only=True):
    competence_id: Slug
    label: Label


class Bloc(Part, frozen=True, kw_only=True):
    bloc_id: Slug
    title: Label
    competences: tuple[Competence, ...]


class Fiche(Part, frozen=True, kw_only=True):
    """An entry of the RNCP or the RS. In force from its first day to its last, both included (C6)."""

    code: FicheCode
    registered_from: date
    registered_until: date
    routes: tuple[Route, ...] = ()
    bloc_codes: dict[Slug, str] = {}

    def in_force(self, day: date) -> bool:
        return self.registered_from <= day <= self.registered_until


class PublishCertification(Part, frozen=True, kw_only=True):
    certification_id: Slug
    version: Positive
    family: CertificationFamily
    title: Label
    mq_code: Reference | UnsetType = UNSET
    level: Level | UnsetType = UNSET
    effective_from: date
    branches: tuple[Slug, ...] = ("metallurgie",)
    blocs: tuple[Bloc, ...]
    rncp: Fiche | UnsetType = UNSET
    rome: tuple[RomeCode, ...] = ()
    decision_ref: Reference | UnsetType = UNSET


class CertificationPublished(PublishCertification, Fact, frozen=True, kw_only=True):
    """A version of a certification's référentiel. The first branch owns it."""

    name = "certification.published"
    posted = PublishCertification
    scope = "catalogue:write"

    def tags(self) -> tuple[str, ...]:
        return (REFERENCE,)


class WithdrawCertification(Part, frozen=True, kw_only=True):
    certification_id: Slug
    effective_from: date
    reason: Literal["SUPPRESSED", "REPLACED"]
    replaced_by: Slug | UnsetType = UNSET


class CertificationWithdrawn(WithdrawCertification, Fact, frozen=True, kw_only=True):
    """No registration from this day on."""

    name = "certification.withdrawn"
    posted = WithdrawCertification
    scope = "catalogue:write"

    def tags(self) -> tuple[str, ...]:
        return (REFERENCE,)


class EquivalenceSide(Part, frozen=True, kw_only=True):
    certification_id: Slug
    bloc_ids: tuple[Slug, ...] = ()


class RecogniseEquivalence(Part, frozen=True, kw_only=True):
    equivalence_id: Uuid
    kind: Literal["TOTAL", "PARTIAL"]
    source: EquivalenceSide
    target: EquivalenceSide
    valid_from: date
    valid_until: date | UnsetType = UNSET
    decision_ref: Reference | UnsetType = UNSET


class EquivalenceRecognised(RecogniseEquivalence, Fact, frozen=True, kw_only=True):
    """Who holds the source may have the target's blocs validated without evaluation."""

    name = "equivalence.recognised"
    posted = RecogniseEquivalence
    scope = "catalogue:write"

    def tags(self) -> tuple[str, ...]:
        return (REFERENCE,)


class RepealEquivalence(Part, frozen=True, kw_only=True):
    equivalence_id: Uuid
    effective_from: date


class EquivalenceRepealed(RepealEquivalence, Fact, frozen=True, kw_only=True):
    name = "equivalence.repealed"
    posted = RepealEquivalence
    scope = "catalogue:write"

    def tags(self) -> tuple[str, ...]:
        return (REFERENCE,)


class SetObjective(Part, frozen=True, kw_only=True):
    year: Positive
    beneficiaries: Positive
    decision_ref: Reference | UnsetType = UNSET


class ObjectiveSet(SetObjective, Fact, frozen=True, kw_only=True):
    """How many beneficiaries the branch aims at in a year. The last one of a year counts (O1)."""

    name = "objective.set"
    posted = SetObjective
    scope = "catalogue:write"

    def tags(self) -> tuple[str, ...]:
        return ()
