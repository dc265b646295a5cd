"""What is said of certifications and equivalences on a day: pure functions of the catalogue."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from contracts.facts import Bloc, Fiche
from contracts.facts.catalogue import CertificationFamily, EquivalenceSide
from contracts.facts.fact import date
from services.projections.catalogue.fold import Certification, CertificationStatus, Equivalence, EquivalenceStatus


class BlocTitle(Struct, frozen=True, kw_only=True):
    bloc_id: str
    title: str


class VersionTitle(Struct, frozen=True, kw_only=True):
    """`position`: of the event that published it, where its bytes and their proof are."""

    version: int
    title: str
    effective_from: date
    position: int


class WithdrawalAnswer(Struct, frozen=True, kw_only=True):
    effective_from: date
    reason: Literal["SUPPRESSED", "REPLACED"]
    replaced_by: str | UnsetType = UNSET
    position: int


class CertificationOnDay(Struct, frozen=True, kw_only=True):
    """A certification on a day.

    `version` is the one in force that day, null while the first is yet to come. The members from `family` to
    `decision_ref` are what that version says, or the first one while it is to come. A `withdrawal` is there as soon as
    it is known; `status` is WITHDRAWN from its effective_from on.
    """

    certification_id: str
    status: CertificationStatus
    version: int | None
    family: CertificationFamily
    title: str
    mq_code: str | UnsetType = UNSET
    level: int | UnsetType = UNSET
    effective_from: date
    branches: tuple[str, ...]
    rncp: Fiche | UnsetType = UNSET
    rome: tuple[str, ...]
    decision_ref: str | UnsetType = UNSET
    withdrawal: WithdrawalAnswer | UnsetType = UNSET


class CertificationRow(CertificationOnDay, frozen=True, kw_only=True):
    """A certification on a day, with the titles of its blocs."""

    blocs: tuple[BlocTitle, ...]


class CertificationDetail(CertificationOnDay, frozen=True, kw_only=True):
    """A certification on a day, with its blocs and their competences, and all its versions in order."""

    blocs: tuple[Bloc, ...]
    versions: tuple[VersionTitle, ...]


class RepealAnswer(Struct, frozen=True, kw_only=True):
    effective_from: date
    position: int


class EquivalenceRow(Struct, frozen=True, kw_only=True):
    """An equivalence on a day. A `repeal` is there as soon as it is known."""

    equivalence_id: str
    status: EquivalenceStatus
    kind: Literal["TOTAL", "PARTIAL"]
    source: EquivalenceSide
    target: EquivalenceSide
    valid_from: date
    valid_until: date | UnsetType = UNSET
    decision_ref: str | UnsetType = UNSET
    repeal: RepealAnswer | UnsetType = UNSET
    position: int


def certification_row(certification: Certification, day: date) -> CertificationRow:
    blocs = certification.shown(day).fact.blocs
    titles = tuple(BlocTitle(bloc_id=bloc.bloc_id, title=bloc.title) for bloc in blocs)
    return CertificationRow(**_on_day(certification, day), blocs=titles)


def certification_detail(certification: Certification, day: date) -> CertificationDetail:
    versions = tuple(
        VersionTitle(
            version=version.fact.version,
            title=version.fact.title,
            effective_from=version.fact.effective_from,
            position=version.position,
        )
        for version in certification.versions
    )
    return CertificationDetail(
        **_on_day(certification, day), blocs=certification.shown(day).fact.blocs, versions=versions
    )


def _on_day(certification: Certification, day: date) -> dict[str, Any]:
    in_force, shown = certification.in_force(day), certification.shown(day).fact
    return {
        "certification_id": certification.certification_id,
        "status": certification.status(day),
        "version": None if in_force is None else in_force.fact.version,
        "family": shown.family,
        "title": shown.title,
        "mq_code": shown.mq_code,
        "level": shown.level,
        "effective_from": shown.effective_from,
        "branches": shown.branches,
        "rncp": shown.rncp,
        "rome": shown.rome,
        "decision_ref": shown.decision_ref,
        "withdrawal": _withdrawal(certification),
    }


def _withdrawal(certification: Certification) -> WithdrawalAnswer | UnsetType:
    if (withdrawal := certification.withdrawal) is None:
        return UNSET
    fact = withdrawal.fact
    return WithdrawalAnswer(
        effective_from=fact.effective_from,
        reason=fact.reason,
        replaced_by=fact.replaced_by,
        position=withdrawal.position,
    )


def equivalence_row(equivalence: Equivalence, day: date) -> EquivalenceRow:
    fact, repeal = equivalence.fact, equivalence.repeal
    return EquivalenceRow(
        equivalence_id=fact.equivalence_id,
        status=equivalence.status(day),
        kind=fact.kind,
        source=fact.source,
        target=fact.target,
        valid_from=fact.valid_from,
        valid_until=fact.valid_until,
        decision_ref=fact.decision_ref,
        repeal=UNSET
        if repeal is None
        else RepealAnswer(effective_from=repeal.fact.effective_from, position=repeal.position),
        position=equivalence.position,
    )
