"""The forms of section 1 of the contract: what a caller may post, and the defaults that are written out."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

Check = Callable[[Any], bool]


def text(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def whole(low: int, high: int = 2**31 - 1) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def items(check: Check, least: int = 0) -> Check:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(check, value))


def members(**checks: Check) -> Check:
    """An object: a name that ends in `_` is an optional member's."""
    known = {name.removesuffix("_"): check for name, check in checks.items()}
    required = {name for name in checks if not name.endswith("_")}
    return lambda value: (
        isinstance(value, dict)
        and required <= set(value) <= set(known)
        and all(known[name](given) for name, given in value.items())
    )


def is_date(value: Any) -> bool:
    try:
        return (
            isinstance(value, str)
            and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is not None
            and bool(day(value))
        )
    except ValueError:
        return False


def day(value: str) -> date:
    return date.fromisoformat(value)


uuid = text("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
slug = text("[a-z0-9][a-z0-9-]{1,63}")
label = text("(?s:.{1,300})")
reference = text("[A-Za-z0-9][A-Za-z0-9 ./-]{0,39}")
number = text("[A-Za-z0-9][A-Za-z0-9-]{3,39}")
sha256 = text("[0-9a-fA-F]{64}")
level = whole(1, 8)
route = one_of("FORMATION", "CONTRAT_PRO", "APPRENTISSAGE", "VAE", "RECONVERSION", "CANDIDAT_LIBRE")
undo = one_of("FRAUD", "CLERICAL_ERROR", "COURT_DECISION")
outcomes = items(members(competence_id=slug, outcome=one_of("ACQUIRED", "NOT_ACQUIRED", "ABSENT")), least=1)
side = members(certification_id=slug, bloc_ids_=items(slug))
competence = members(competence_id=slug, label=label)


def bloc_codes(value: Any) -> bool:
    return isinstance(value, dict) and all(slug(name) and isinstance(code, str) for name, code in value.items())


fiche = members(
    code=text(r"RNCP[0-9]+|RS[0-9]+"),
    registered_from=is_date,
    registered_until=is_date,
    routes_=items(route),
    bloc_codes_=bloc_codes,
)

FORMS: dict[str, Check] = {
    "certification.published": members(
        certification_id=slug,
        version=whole(1),
        family=one_of("CQPM", "CQPI", "CCPM", "CCPI"),
        title=label,
        mq_code_=reference,
        level_=level,
        effective_from=is_date,
        branches_=items(slug),
        blocs=items(members(bloc_id=slug, title=label, competences=items(competence))),
        rncp_=fiche,
        rome_=items(text("[A-Z][0-9]{4}")),
        decision_ref_=reference,
    ),
    "certification.withdrawn": members(
        certification_id=slug,
        effective_from=is_date,
        reason=one_of("SUPPRESSED", "REPLACED"),
        replaced_by_=slug,
    ),
    "equivalence.recognised": members(
        equivalence_id=uuid,
        kind=one_of("TOTAL", "PARTIAL"),
        source=side,
        target=side,
        valid_from=is_date,
        valid_until_=is_date,
        decision_ref_=reference,
    ),
    "equivalence.repealed": members(equivalence_id=uuid, effective_from=is_date),
    "objective.set": members(year=whole(1), beneficiaries=whole(1), decision_ref_=reference),
    "candidate.registered": members(
        registration_id=uuid,
        person_id=uuid,
        certification_id=slug,
        version_=whole(1),
        target=one_of("CERTIFICATION", "BLOCS"),
        bloc_ids_=items(slug),
        route=route,
        status=one_of("SALARIE", "ALTERNANT", "INTERIMAIRE", "DEMANDEUR_EMPLOI", "INDEPENDANT", "AUTRE"),
        branch_=slug,
        region_=text("[0-9]{2,3}"),
        organiser_=slug,
        prior_level_=level,
        registered_on=is_date,
    ),
    "registration.closed": members(
        registration_id=uuid,
        reason=one_of("FAILED", "WITHDRAWN", "CANCELLED", "ABSENT"),
        closed_on=is_date,
        jury_id_=uuid,
    ),
    "registration.reopened": members(
        registration_id=uuid, reason=one_of("CLERICAL_ERROR", "APPEAL", "COURT_DECISION"), reopened_on=is_date
    ),
    "evaluation.recorded": members(
        evaluation_id=uuid,
        registration_id=uuid,
        bloc_id=slug,
        outcomes=outcomes,
        modality=one_of(
            "SITUATION_PROFESSIONNELLE", "SITUATION_RECONSTITUEE", "PROJET", "AVIS_ENTREPRISE", "QUESTIONNAIRE"
        ),
        evaluated_on=is_date,
        evaluators=items(slug, least=1),
        evidence_sha256_=sha256,
    ),
    "evaluation.corrected": members(
        evaluation_id=uuid,
        outcomes=outcomes,
        reason=one_of("CLERICAL_ERROR", "REVIEW", "FRAUD", "COURT_DECISION"),
        corrected_on=is_date,
    ),
    "jury.held": members(
        jury_id=uuid,
        held_on=is_date,
        organiser=slug,
        seats=items(
            members(
                seat_id=slug,
                college=one_of("SALARIES", "EMPLOYEURS"),
                organisation=slug,
                present=lambda value: isinstance(value, bool),
            )
        ),
        president_seat_id=slug,
        invited_on=is_date,
        minutes_sha256_=sha256,
    ),
    "bloc.validated": members(
        validation_id=uuid,
        registration_id=uuid,
        bloc_id=slug,
        basis=one_of("EVALUATION", "EQUIVALENCE", "CARRIED_OVER", "ARCHIVE"),
        equivalence_id_=uuid,
        source_validation_id_=uuid,
        decision_ref_=reference,
        jury_id_=uuid,
        validated_on=is_date,
    ),
    "bloc.invalidated": members(validation_id=uuid, reason=undo, decided_on=is_date),
    "certificate.awarded": members(registration_id=uuid, certificate_number_=number, jury_id_=uuid, awarded_on=is_date),
    "certificate.revoked": members(certificate_number=number, reason=undo, decided_on=is_date, decision_ref_=reference),
}
"""Whether data has the form of a fact, by the fact's name. Names that are missing here are not posted."""


def with_defaults(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """The data with the defaults that section 1 writes out."""
    if name == "certification.published":
        data = {"branches": ["metallurgie"], "rome": []} | data
        if "rncp" in data:
            data["rncp"] = {"routes": [], "bloc_codes": {}} | data["rncp"]
    if name == "equivalence.recognised":
        data = data | {end: {"bloc_ids": []} | data[end] for end in ("source", "target")}
    return data


CONDITIONAL = (
    ("certification.withdrawn", "replaced_by", ("reason", "REPLACED"), "C8"),
    ("registration.closed", "jury_id", ("reason", "FAILED"), "J3"),
    ("bloc.validated", "equivalence_id", ("basis", "EQUIVALENCE"), "B3"),
    ("bloc.validated", "source_validation_id", ("basis", "CARRIED_OVER"), "B4"),
    ("bloc.validated", "decision_ref", ("basis", "ARCHIVE"), "B9"),
)
"""Members that belong to one value of another member, and the rule that speaks of them."""


def misplaced(name: str, data: dict[str, Any]) -> set[tuple[int, str | None]]:
    """How a post may be refused for a conditional member that is too many: the contract leaves open if by form or rule.

    Too few of them are left open too, but for those which nothing requires (jury_id) or a rule asks for (decision_ref).
    """
    reasons: set[tuple[int, str | None]] = set()
    for fact, member, (selector, value), rule in CONDITIONAL:
        wanted = data.get(selector) == value
        too_few = wanted and member not in data and member not in {"jury_id", "decision_ref"}
        if fact == name and (too_few or (not wanted and member in data)):
            reasons |= {(400, None), (422, rule)}
    return reasons
