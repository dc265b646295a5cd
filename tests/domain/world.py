"""A small branch to test with: two certifications with a bloc in common, and each command and fact with usual members.

Members are given in their wire form (dates as "2024-06-15"), and None leaves one out, so that all has the form of the
contract. What a test does not speak of is about Anna's registration to the welder's certification, in 2024.
"""

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from contracts import facts
from contracts.facts import Fact, Part
from services.registry.domain.certificates import CertificateToAward
from services.registry.domain.persons import PersonsToMerge, PersonToErase, PersonToRectify, PersonToRegister

C = TypeVar("C", bound=Part)
F = TypeVar("F", bound=Fact)


def uid(name: str) -> str:
    """The id of something with a name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


ANNA, ANNE, BENO = uid("Anna"), uid("Anne, who is Anna"), uid("Beno")
REG_1, REG_2, REG_3 = (uid(f"registration {n}") for n in (1, 2, 3))
EVAL_1, EVAL_2, EVAL_3 = (uid(f"evaluation {n}") for n in (1, 2, 3))
VAL_1, VAL_2, VAL_3, VAL_4 = (uid(f"validation {n}") for n in (1, 2, 3, 4))
JURY_1, JURY_2 = (uid(f"jury {n}") for n in (1, 2))
EQUI_1, EQUI_2 = (uid(f"equivalence {n}") for n in (1, 2))
NUMBER = "CQPM-2024-77"


def _pair(
    command: type[C], fact: type[F], said: dict[str, Any], **derived: Any
) -> tuple[Callable[..., C], Callable[..., F]]:
    """Makers of a command and of the fact it brings about, each of the members that differ from the usual ones."""

    def make(kind: type[Any], usual: dict[str, Any]) -> Callable[..., Any]:
        def made(**members: Any) -> Any:
            given = {name: value for name, value in (usual | members).items() if value is not None}
            return msgspec.convert(given, kind)

        return made

    return make(command, said), make(fact, said | derived)


def bloc(bloc_id: str, *competence_ids: str) -> dict[str, Any]:
    competences = [{"competence_id": id_, "label": f"Able to {id_}"} for id_ in competence_ids]
    return {"bloc_id": bloc_id, "title": f"Bloc {bloc_id}", "competences": competences}


def fiche(**members: Any) -> dict[str, Any]:
    return {"code": "RNCP12345", "registered_from": "2020-01-01", "registered_until": "2025-01-01"} | members


def found(**outcomes: str) -> list[dict[str, str]]:
    """Outcomes by competence."""
    return [{"competence_id": id_, "outcome": outcome} for id_, outcome in outcomes.items()]


def acquired(*competence_ids: str) -> list[dict[str, str]]:
    return found(**dict.fromkeys(competence_ids, "ACQUIRED"))


def seat(seat_id: str, college: str, *, present: bool = True) -> dict[str, Any]:
    return {"seat_id": seat_id, "college": college, "organisation": "org-1", "present": present}


def component(bloc_id: str, validation_id: str) -> dict[str, str]:
    return {"bloc_id": bloc_id, "validation_id": validation_id, "basis": "EVALUATION"}


_OF_ANNA = {"person_id": ANNA, "certification_id": "cqpm-welder"}

WELD, READ, FIT = bloc("weld", "cut", "join"), bloc("read", "plans"), bloc("fit", "adjust")

publish, published = _pair(
    facts.PublishCertification,
    facts.CertificationPublished,
    {
        "certification_id": "cqpm-welder",
        "version": 1,
        "family": "CQPM",
        "title": "Welder",
        "level": 3,
        "effective_from": "2010-01-01",
        "blocs": [WELD, READ],
    },
)
withdraw, withdrawn = _pair(
    facts.WithdrawCertification,
    facts.CertificationWithdrawn,
    {"certification_id": "cqpm-welder", "effective_from": "2024-02-01", "reason": "SUPPRESSED"},
)
recognise, recognised = _pair(
    facts.RecogniseEquivalence,
    facts.EquivalenceRecognised,
    {
        "equivalence_id": EQUI_1,
        "kind": "PARTIAL",
        "source": {"certification_id": "cqpm-fitter", "bloc_ids": ["fit"]},
        "target": {"certification_id": "cqpm-welder", "bloc_ids": ["weld"]},
        "valid_from": "2020-01-01",
    },
)
repeal, repealed = _pair(
    facts.RepealEquivalence,
    facts.EquivalenceRepealed,
    {"equivalence_id": EQUI_1, "effective_from": "2024-03-15"},
)
set_objective, objective_set = _pair(facts.SetObjective, facts.ObjectiveSet, {"year": 2024, "beneficiaries": 30_000})

_IDENTITY = {"person_id": ANNA, "identity_commitment": "ab" * 32}
register_person, person_registered = _pair(PersonToRegister, facts.PersonRegistered, _IDENTITY)
rectify, rectified = _pair(PersonToRectify, facts.PersonRectified, _IDENTITY)
merge, merged = _pair(PersonsToMerge, facts.PersonsMerged, {"kept_id": ANNA, "merged_id": ANNE})
erase, erased = _pair(PersonToErase, facts.PersonErased, {"person_id": ANNA})

register, registered = _pair(
    facts.RegisterCandidate,
    facts.CandidateRegistered,
    {
        "registration_id": REG_1,
        **_OF_ANNA,
        "target": "CERTIFICATION",
        "route": "FORMATION",
        "status": "SALARIE",
        "registered_on": "2024-01-10",
    },
    version=1,
    branch="metallurgie",
    reporting_status="SALARIE",
    family="CQPM",
)
close, closed = _pair(
    facts.CloseRegistration,
    facts.RegistrationClosed,
    {"registration_id": REG_1, "reason": "FAILED", "closed_on": "2024-04-01"},
    **_OF_ANNA,
)
reopen, reopened = _pair(
    facts.ReopenRegistration,
    facts.RegistrationReopened,
    {"registration_id": REG_1, "reason": "APPEAL", "reopened_on": "2024-05-10"},
    **_OF_ANNA,
)
evaluate, evaluated = _pair(
    facts.RecordEvaluation,
    facts.EvaluationRecorded,
    {
        "evaluation_id": EVAL_1,
        "registration_id": REG_1,
        "bloc_id": "weld",
        "outcomes": acquired("cut", "join"),
        "modality": "PROJET",
        "evaluated_on": "2024-03-01",
        "evaluators": ["evaluator-1"],
    },
    **_OF_ANNA,
    version=1,
)
correct, corrected = _pair(
    facts.CorrectEvaluation,
    facts.EvaluationCorrected,
    {
        "evaluation_id": EVAL_1,
        "outcomes": acquired("cut"),
        "reason": "CLERICAL_ERROR",
        "corrected_on": "2024-03-02",
    },
    **_OF_ANNA,
    registration_id=REG_1,
    bloc_id="weld",
)
hold_jury, jury_held = _pair(
    facts.HoldJury,
    facts.JuryHeld,
    {
        "jury_id": JURY_1,
        "held_on": "2024-04-01",
        "organiser": "uimm-grenoble",
        "seats": [seat("union-1", "SALARIES"), seat("employer-1", "EMPLOYEURS")],
        "president_seat_id": "employer-1",
        "invited_on": "2024-03-01",
    },
)
validate, validated = _pair(
    facts.ValidateBloc,
    facts.BlocValidated,
    {
        "validation_id": VAL_1,
        "registration_id": REG_1,
        "bloc_id": "weld",
        "basis": "EVALUATION",
        "validated_on": "2024-03-15",
    },
    **_OF_ANNA,
    version=1,
    usable_until="2026-03-15",
)
invalidate, invalidated = _pair(
    facts.InvalidateBloc,
    facts.BlocInvalidated,
    {"validation_id": VAL_1, "reason": "FRAUD", "decided_on": "2024-05-02"},
    **_OF_ANNA,
    registration_id=REG_1,
    bloc_id="weld",
)
_award, awarded = _pair(
    facts.AwardCertificate,
    facts.CertificateAwarded,
    {"registration_id": REG_1, "certificate_number": NUMBER, "awarded_on": "2024-04-01"},
    **_OF_ANNA,
    version=1,
    kind="CERTIFICATION",
    family="CQPM",
    level=3,
    title="Welder",
    components=[component("weld", VAL_1), component("read", VAL_2)],
    reporting_status="SALARIE",
    branch="metallurgie",
)
revoke, revoked = _pair(
    facts.RevokeCertificate,
    facts.CertificateRevoked,
    {"certificate_number": NUMBER, "reason": "FRAUD", "decided_on": "2024-05-02"},
    **_OF_ANNA,
    registration_id=REG_1,
)


def award(*draws: str, **members: Any) -> CertificateToAward:
    return CertificateToAward(award=_award(**members), draws=draws or ("0123ABCD",))


WELDER = published()
FITTER = published(certification_id="cqpm-fitter", title="Fitter", blocs=[FIT, READ])
CATALOGUE = (WELDER, FITTER)
PERSONS = (person_registered(), person_registered(person_id=ANNE), person_registered(person_id=BENO))
WORLD = (*CATALOGUE, *PERSONS)
OPEN = (*WORLD, registered())
"""Anna's registration to the welder's certification is open."""

BOTH_VALIDATED = (
    *OPEN,
    validated(),
    validated(validation_id=VAL_2, bloc_id="read"),
)
AWARDED = (*BOTH_VALIDATED, awarded())
