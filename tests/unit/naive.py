"""The read models as the contract puts them in words: every member looked for in all facts anew."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from contracts.facts import (
    BlocInvalidated,
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificateRevoked,
    CertificationPublished,
    Fact,
    ObjectiveSet,
    PersonRegistered,
    PersonsMerged,
    RegistrationClosed,
    RegistrationReopened,
    given,
)
from tests.unit.careers import STATUSES


def same_persons(facts: Iterable[Fact]) -> dict[str, str]:
    """Every person's id with the id that stands for it in the end."""
    kept = {fact.person_id: fact.person_id for fact in facts if isinstance(fact, PersonRegistered)}
    for fact in facts:
        if isinstance(fact, PersonsMerged):
            kept = {id_: fact.kept_id if of == fact.merged_id else of for id_, of in kept.items()}
    return kept


def naive_competencies(facts: Sequence[Fact], person_id: str, position: int, at: date) -> dict[str, Any] | None:
    """Section 4.1 read word by word: each member looked for in all facts anew. None: unknown."""
    kept = same_persons(facts)
    if person_id not in kept:
        return None
    own = [fact for fact in facts if kept.get(getattr(fact, "person_id", ""), "") == kept[person_id]]
    catalogue = {
        (fact.certification_id, fact.version, bloc.bloc_id): bloc
        for fact in facts
        if isinstance(fact, CertificationPublished)
        for bloc in fact.blocs
    }
    gone = {fact.validation_id for fact in own if isinstance(fact, BlocInvalidated)}
    live = [fact for fact in own if isinstance(fact, BlocValidated) and fact.validation_id not in gone]
    revoked_numbers = {fact.certificate_number.lower() for fact in own if isinstance(fact, CertificateRevoked)}
    certificates = [fact for fact in own if isinstance(fact, CertificateAwarded)]
    candidates = [fact for fact in own if isinstance(fact, CandidateRegistered)]
    giving = [fact for fact in candidates if given(fact.prior_level)]
    levels = [
        given(fact.level) or 0
        for fact in certificates
        if fact.kind == "CERTIFICATION" and fact.certificate_number.lower() not in revoked_numbers
    ]
    competences: dict[tuple[str, str], dict[str, Any]] = {}
    for fact in sorted(live, key=lambda fact: fact.validated_on):
        for competence in catalogue[fact.certification_id, fact.version, fact.bloc_id].competences:
            row = {"bloc_id": fact.bloc_id, "label": competence.label, "acquired_on": fact.validated_on.isoformat()}
            competences.setdefault(
                (competence.competence_id, fact.bloc_id), {"competence_id": competence.competence_id} | row
            )
    return {
        "person_id": kept[person_id],
        "position": position,
        "certificates": [
            {
                "certificate_number": fact.certificate_number,
                "kind": fact.kind,
                "family": fact.family,
                "certification_id": fact.certification_id,
                "version": fact.version,
                "title": fact.title,
                "awarded_on": fact.awarded_on.isoformat(),
                "status": "REVOKED" if fact.certificate_number.lower() in revoked_numbers else "LIVE",
            }
            | ({"level": fact.level} if given(fact.level) else {})
            for fact in sorted(certificates, key=lambda fact: fact.certificate_number)
        ],
        "blocs": [
            {
                "bloc_id": fact.bloc_id,
                "title": catalogue[fact.certification_id, fact.version, fact.bloc_id].title,
                "validation_id": fact.validation_id,
                "basis": fact.basis,
                "certification_id": fact.certification_id,
                "validated_on": fact.validated_on.isoformat(),
                "usable_until": fact.usable_until.isoformat(),
                "usable": fact.validated_on <= at <= fact.usable_until,
            }
            for fact in sorted(live, key=lambda fact: (fact.bloc_id, fact.validation_id))
        ],
        "competences": [row for _, row in sorted(competences.items())],
        "prior_level": min(giving, key=lambda fact: fact.registered_on).prior_level if giving else None,
        "highest_level": max((level for level in levels if level), default=None),
        "open_registrations": sorted(
            fact.registration_id for fact in candidates if _last_state(own, fact.registration_id) == "open"
        ),
    }


def naive_counts(facts: Sequence[Fact], year: int, position: int, branch: str | None = None) -> dict[str, Any]:
    """Section 4.2 read word by word."""
    kept = same_persons(facts)
    revoked_numbers = {fact.certificate_number.lower() for fact in facts if isinstance(fact, CertificateRevoked)}
    candidates = [
        fact
        for fact in facts
        if isinstance(fact, CandidateRegistered)
        and fact.registered_on.year == year
        and branch in (None, fact.branch)
        and _last_state(facts, fact.registration_id) != "CANCELLED"
    ]
    certificates = [
        fact
        for fact in facts
        if isinstance(fact, CertificateAwarded) and fact.awarded_on.year == year and branch in (None, fact.branch)
    ]
    live = [fact for fact in certificates if fact.certificate_number.lower() not in revoked_numbers]
    objectives = [fact.beneficiaries for fact in facts if isinstance(fact, ObjectiveSet) and fact.year == year]

    def numbers(member: str, value: Any) -> dict[str, int]:
        return {
            "registered": sum(given(getattr(fact, member)) == value for fact in candidates),
            "beneficiaries": sum(given(getattr(fact, member)) == value for fact in live),
        }

    def rows(member: str) -> list[dict[str, Any]]:
        values = {given(getattr(fact, member)) for fact in (*candidates, *live)}
        ordered = sorted(values, key=lambda value: (value is None, value))
        return [{member: value} | numbers(member, value) for value in ordered]

    return {
        "year": year,
        "position": position,
        "registered": len(candidates),
        "beneficiaries": len(live),
        "persons": len({kept[fact.person_id] for fact in live}),
        "success_rate": rounded(len(live), len(candidates)),
        "revoked": len(certificates) - len(live),
        "by_status": {status: numbers("reporting_status", status) for status in STATUSES},
        "by_family": {family: numbers("family", family) for family in ("CQPM", "CQPI", "CCPM", "CCPI", "BLOC")},
        "by_certification": rows("certification_id"),
        "by_region": rows("region"),
        "by_branch": rows("branch"),
        "objective": {"beneficiaries": objectives[-1], "progress": rounded(len(live), objectives[-1])}
        if objectives
        else None,
    }


def rounded(dividend: int, divisor: int) -> float | None:
    """4 decimals, half up, by decimal arithmetic."""
    if divisor == 0:
        return None
    exact = Context(prec=60).divide(Decimal(dividend), Decimal(divisor))
    return float(exact.quantize(Decimal("0.0001"), ROUND_HALF_UP))


def _last_state(facts: Iterable[Fact], registration_id: str) -> str:
    state = "open"
    for fact in facts:
        if getattr(fact, "registration_id", None) != registration_id:
            continue
        if isinstance(fact, RegistrationClosed):
            state = fact.reason
        elif isinstance(fact, RegistrationReopened):
            state = "open"
        elif isinstance(fact, CertificateAwarded):
            state = "awarded"
    return state
