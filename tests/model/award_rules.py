"""The rules of section 2 on evaluations, blocs and certificates: V, B and A."""

import secrets
from datetime import date
from typing import Any

from tests.model.catalogue_rules import competence_ids
from tests.model.forms import day
from tests.model.rules import Judgement, Violation, added, holder_rule, jury_rule, past_rule, violations
from tests.model.world import Certificate, Data, Registration, Validation, World, fiche_in_force, later

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def evaluation_recorded(world: World, data: Data, today: date) -> Judgement:
    on = day(data["evaluated_on"])
    broken = violations((data["evaluation_id"] in world.evaluations, 409, "V5"))
    registration = world.registrations.get(data["registration_id"])
    if registration is None:
        return broken | {(422, "V1")} | violations((on > today, 422, "V4")), {}
    broken |= violations((not registration.registered_on <= on <= today, 422, "V4"))
    broken |= holder_rule(world, registration) | _findings_rule(world, registration, data["bloc_id"], data["outcomes"])
    return broken, added(world, registration, "version")


def evaluation_corrected(world: World, data: Data, today: date) -> Judgement:
    evaluation = world.evaluations.get(data["evaluation_id"])
    if evaluation is None:
        return {(422, "V5")} | past_rule(data["corrected_on"], today, None), {}
    registration, bloc_id = world.registrations[evaluation.data["registration_id"]], evaluation.data["bloc_id"]
    broken = holder_rule(world, registration) | _findings_rule(world, registration, bloc_id, data["outcomes"])
    broken |= past_rule(data["corrected_on"], today, evaluation.data["evaluated_on"])
    return broken, added(world, registration, "registration_id") | {"bloc_id": bloc_id}


def _findings_rule(world: World, registration: Registration, bloc_id: str, outcomes: list[Data]) -> set[Violation]:
    """V1, V2, V3 and V7, of an evaluation and of a correction alike."""
    version = world.version(registration.data["certification_id"], registration.data["version"])
    known = {c for bloc in version["blocs"] if bloc["bloc_id"] == bloc_id for c in competence_ids(bloc)}
    named = [outcome["competence_id"] for outcome in outcomes]
    return violations(
        (registration.state != "OPEN", 409, "V1"),
        (bloc_id not in [bloc["bloc_id"] for bloc in world.blocs(registration)], 422, "V2"),
        (not set(named) <= known or len(set(named)) < len(named), 422, "V3"),
        (bloc_id in world.validated(registration), 409, "V7"),
    )


def bloc_validated(world: World, data: Data, today: date) -> Judgement:
    on, bloc_id = day(data["validated_on"]), data["bloc_id"]
    broken = jury_rule(world, data, "validated_on")
    broken |= violations((data["validation_id"] in world.validations, 409, "B7"), (on > today, 422, "B6"))
    registration = world.registrations.get(data["registration_id"])
    if registration is None:
        return broken | {(422, "B1")}, {}
    broken |= holder_rule(world, registration)
    in_target = bloc_id in [bloc["bloc_id"] for bloc in world.blocs(registration)]
    broken |= violations(
        (registration.state != "OPEN", 409, "B1"),
        (not in_target, 422, "B1"),
        (bloc_id in world.validated(registration), 409, "B1"),
        (on < registration.registered_on, 422, "B6"),
    )
    own = _own_limit(world, registration, on)
    basis_broken, usable_until = BASES[data["basis"]](world, registration, data, own)
    derived = added(world, registration, "version") | {"usable_until": usable_until.isoformat()}
    return broken | basis_broken, derived


def _own_limit(world: World, registration: Registration, on: date) -> date:
    """B5: + 5 years with an RNCP fiche in force at registered_on or validated_on, else + 24 months."""
    version = world.version(registration.data["certification_id"], registration.data["version"])
    return later(on, months=60 if fiche_in_force(version, registration.registered_on, on) else 24)


Basis = tuple[set[Violation], date]


def _by_evaluation(world: World, registration: Registration, data: Data, own: date) -> Basis:
    """B2, and B6: not before any evaluation of that bloc in this registration."""
    on, bloc_id = day(data["validated_on"]), data["bloc_id"]
    evaluations = world.evaluations_in(registration, bloc_id)
    here = world.outcomes(registration, bloc_id)
    kept = {
        competence_id
        for failed in world.registrations_of(registration.data["person_id"])
        if (failed.state, failed.reason) == ("CLOSED", "FAILED")
        and failed.data["certification_id"] == registration.data["certification_id"]
        and failed.since is not None
        and later(on, months=-24) <= failed.since <= on
        for competence_id, outcome in world.outcomes(failed, bloc_id).items()
        if outcome == "ACQUIRED"
    }
    version = world.version(registration.data["certification_id"], registration.data["version"])
    needed = {c for bloc in version["blocs"] if bloc["bloc_id"] == bloc_id for c in competence_ids(bloc)}
    acquired = {c for c in needed if here.get(c, "ACQUIRED" if c in kept else "ABSENT") == "ACQUIRED"}
    early = any(on < day(evaluation.data["evaluated_on"]) for evaluation in evaluations)
    return violations((not needed or acquired != needed, 422, "B2"), (early, 422, "B6")), own


def _by_equivalence(world: World, registration: Registration, data: Data, own: date) -> Basis:
    """B3, and B5 for what is recognised."""
    equivalence = world.equivalences.get(data.get("equivalence_id", ""))
    on, person_id = day(data["validated_on"]), registration.data["person_id"]
    if equivalence is None or not _in_force(world, equivalence, on):
        return {(422, "B3")}, own
    source, target = equivalence["source"], equivalence["target"]
    total = equivalence["kind"] == "TOTAL"
    aims = target["certification_id"] == registration.data["certification_id"]
    aims = aims and (total or data["bloc_id"] in target["bloc_ids"])
    certificates = world.certificates_of(person_id)
    if total:
        held = [c for c in certificates if c.is_whole(on) and c.data["certification_id"] == source["certification_id"]]
        return violations((not aims or not held, 422, "B3")), own
    limits = [_source_limit(world, person_id, bloc_id, on, own) for bloc_id in source["bloc_ids"]]
    known = [limit for limit in limits if limit is not None]
    return violations((not aims or len(known) < len(limits), 422, "B3")), min(known, default=own)


def _in_force(world: World, equivalence: Data, on: date) -> bool:
    """First and last days are included; a repeal holds from effective_from on (C6)."""
    repeal = world.repeals.get(equivalence["equivalence_id"])
    until = equivalence.get("valid_until", "9999-12-31")
    return equivalence["valid_from"] <= on.isoformat() <= until and (
        repeal is None or on < day(repeal["effective_from"])
    )


def _source_limit(world: World, person_id: str, bloc_id: str, on: date, own: date) -> date | None:
    """How long a bloc held counts: the latest of its usable validations; `own` if held by certificate only (B5)."""
    validations = [v for v in world.validations_of(person_id) if v.data["bloc_id"] == bloc_id]
    usable = [day(v.data["usable_until"]) for v in validations if v.usable(on)]
    if usable:
        return max(usable)
    certificates = world.certificates_of(person_id)
    return own if any(c.holds(v, on) for c in certificates for v in validations) else None


def _carried_over(world: World, registration: Registration, data: Data, own: date) -> Basis:
    """B4; a carried bloc keeps its source's limit, unless it is held only as a component of a certificate (B5)."""
    source = world.validations.get(data.get("source_validation_id", ""))
    on, person_id = day(data["validated_on"]), registration.data["person_id"]
    if source is None or not source.live or source.data["bloc_id"] != data["bloc_id"]:
        return {(422, "B4")}, own
    if not world.same(person_id, source.data):
        return {(422, "B4")}, own
    if source.usable(on):
        return set(), day(source.data["usable_until"])
    held = any(certificate.holds(source, on) for certificate in world.certificates_of(person_id))
    return violations((not held, 422, "B4")), own


def _archived(world: World, _registration: Registration, data: Data, own: date) -> Basis:
    """B9: decision_ref given, validated_on before the day of position 1."""
    on = day(data["validated_on"])
    late = world.first_day is None or on >= world.first_day
    return violations(("decision_ref" not in data or late, 422, "B9")), own


BASES = {
    "EVALUATION": _by_evaluation,
    "EQUIVALENCE": _by_equivalence,
    "CARRIED_OVER": _carried_over,
    "ARCHIVE": _archived,
}


def bloc_invalidated(world: World, data: Data, today: date) -> Judgement:
    validation = world.validations.get(data["validation_id"])
    if validation is None:
        return {(422, "B8")} | past_rule(data["decided_on"], today, None), {}
    needed = any(c.live and _names(c, validation) for c in world.certificates.values())
    broken = past_rule(data["decided_on"], today, validation.validated_on)
    broken |= violations((not validation.live, 409, "B8"), (needed, 409, "B8"))
    registration = world.registrations[validation.data["registration_id"]]
    return broken, added(world, registration, "registration_id") | {"bloc_id": validation.data["bloc_id"]}


def _names(certificate: Certificate, validation: Validation) -> bool:
    return validation.data["validation_id"] in [part["validation_id"] for part in certificate.data["components"]]


def certificate_awarded(world: World, data: Data, today: date) -> Judgement:
    on = day(data["awarded_on"])
    taken = data.get("certificate_number", "").lower() in world.certificates
    broken = jury_rule(world, data, "awarded_on") | violations((taken, 409, "A4"), (on > today, 422, "A3"))
    registration = world.registrations.get(data["registration_id"])
    if registration is None:
        return broken | {(422, "A1")}, {}
    broken |= holder_rule(world, registration)
    validated = world.validated(registration)
    components = [validated.get(bloc["bloc_id"]) for bloc in world.blocs(registration)]
    early = any(component is not None and on < component.validated_on for component in components)
    missing = any(component is None or not component.usable(on) for component in components)
    broken |= violations((registration.state != "OPEN", 409, "A1"), (missing, 422, "A2"), (early, 422, "A3"))
    known = [component.data for component in components if component is not None]
    return broken, _certificate(world, registration, known, on)


def _certificate(world: World, registration: Registration, components: list[Data], on: date) -> Data:
    """What the registry adds to certificate.awarded, but the number."""
    version = world.version(registration.data["certification_id"], registration.data["version"])
    whole = registration.data["target"] == "CERTIFICATION"
    certificate: dict[str, Any] = added(world, registration, "version", "family", "reporting_status", "branch") | {
        "kind": registration.data["target"],
        "title": version["title"],
        "components": [{name: part[name] for name in ("bloc_id", "validation_id", "basis")} for part in components],
    }
    if whole and "level" in version:
        certificate["level"] = version["level"]
    if fiche_in_force(version, registration.registered_on, on):
        certificate["rncp_code"] = version["rncp"]["code"]
    if "region" in registration.data:
        certificate["region"] = registration.data["region"]
    return certificate


def made_number(family: str, awarded_on: str) -> str:
    """A number as the registry makes them (A4)."""
    random = "".join(secrets.choice(CROCKFORD) for _ in range(8))
    return f"{family}-{awarded_on[:4]}-{random}-{check_character(family + awarded_on[:4] + random)}"


def check_character(letters: str) -> str:
    """ISO 7064 MOD 37,36 (hybrid system), over the letters and digits."""
    product = 36
    for letter in letters:
        product = (product + ALPHABET.index(letter)) % 36 or 36
        product = product * 2 % 37
    return ALPHABET[(37 - product) % 36]


def certificate_revoked(world: World, data: Data, today: date) -> Judgement:
    certificate = world.certificates.get(data["certificate_number"].lower())
    if certificate is None:
        return {(422, "A5")} | past_rule(data["decided_on"], today, None), {}
    broken = past_rule(data["decided_on"], today, certificate.data["awarded_on"])
    broken |= violations((not certificate.live, 409, "A5"))
    registration = world.registrations[certificate.data["registration_id"]]
    return broken, added(world, registration, "registration_id")
