"""One fact of each kind with all its optional members, each thing under an id of its own."""

from datetime import date

from contracts.facts import (
    Bloc,
    CandidateRegistered,
    CertificationPublished,
    CertificationWithdrawn,
    Component,
    EquivalenceRecognised,
    EquivalenceRepealed,
    EvaluationCorrected,
    EvaluationRecorded,
    Fact,
    Fiche,
    JuryHeld,
    ObjectiveSet,
    PersonRectified,
    RegistrationClosed,
)
from contracts.facts.awards import Seat
from contracts.facts.catalogue import Competence, EquivalenceSide
from contracts.facts.registrations import CompetenceOutcome
from tests.unit.careers import awarded, erased, invalidated, merged, person, reopened, revoked, uid, validated

DAY = date(2018, 6, 1)
OUTCOMES = (CompetenceOutcome(competence_id="a1-x", outcome="ACQUIRED"),)
OF_REGISTRATION = {
    "registration_id": uid("registration", 1),
    "person_id": uid("person", 1),
    "certification_id": "cqpm-a",
}

EVERY_KIND: dict[str, Fact] = {
    fact.name: fact
    for fact in (
        CertificationPublished(
            certification_id="cqpm-a",
            version=1,
            family="CQPM",
            title="A",
            effective_from=DAY,
            blocs=tuple(
                Bloc(bloc_id=id_, title=id_, competences=(Competence(competence_id=f"{id_}-x", label="X"),))
                for id_ in ("a1", "a2")
            ),
            rncp=Fiche(
                code="RNCP1",
                registered_from=DAY,
                registered_until=date(2020, 1, 1),
                bloc_codes={"a1": "RNCP1BC01", "a2": "RNCP1BC02"},
            ),
            rome=("H2902",),
            decision_ref="CPN 1",
        ),
        CertificationWithdrawn(certification_id="cqpm-a", effective_from=DAY, reason="REPLACED", replaced_by="cqpi-b"),
        EquivalenceRecognised(
            equivalence_id=uid("equivalence", 1),
            kind="PARTIAL",
            source=EquivalenceSide(certification_id="cqpm-a", bloc_ids=("a1", "a2")),
            target=EquivalenceSide(certification_id="cqpi-b", bloc_ids=("b1",)),
            valid_from=DAY,
        ),
        EquivalenceRepealed(equivalence_id=uid("equivalence", 1), effective_from=DAY),
        ObjectiveSet(year=2018, beneficiaries=1),
        person(1),
        PersonRectified(person_id=uid("person", 1), identity_commitment="0" * 64),
        merged(1, 2),
        erased(1),
        CandidateRegistered(
            **OF_REGISTRATION,
            version=1,
            target="BLOCS",
            bloc_ids=("a1", "a2"),
            route="VAE",
            status="SALARIE",
            organiser="uimm",
            registered_on=DAY,
            branch="metallurgie",
            reporting_status="SALARIE",
            family="BLOC",
        ),
        RegistrationClosed(**OF_REGISTRATION, reason="FAILED", closed_on=DAY, jury_id=uid("jury", 1)),
        reopened(1, 1),
        EvaluationRecorded(
            **OF_REGISTRATION,
            evaluation_id=uid("evaluation", 1),
            bloc_id="a1",
            outcomes=OUTCOMES,
            modality="PROJET",
            evaluated_on=DAY,
            evaluators=("evaluator-1",),
            version=1,
        ),
        EvaluationCorrected(
            **OF_REGISTRATION,
            evaluation_id=uid("evaluation", 1),
            bloc_id="a1",
            outcomes=OUTCOMES,
            reason="REVIEW",
            corrected_on=DAY,
        ),
        JuryHeld(
            jury_id=uid("jury", 1),
            held_on=DAY,
            organiser="uimm",
            seats=(Seat(seat_id="seat-1", college="SALARIES", organisation="cfdt", present=True),),
            president_seat_id="seat-1",
            invited_on=DAY,
        ),
        validated(
            1,
            1,
            1,
            basis="CARRIED_OVER",
            source_validation_id=uid("validation", 9),
            equivalence_id=uid("equivalence", 1),
            jury_id=uid("jury", 1),
        ),
        invalidated(validated(1, 1, 1), 1),
        awarded(
            1,
            1,
            jury_id=uid("jury", 1),
            components=tuple(
                Component(bloc_id=f"a{n}", validation_id=uid("validation", n), basis="EVALUATION") for n in (1, 2)
            ),
        ),
        revoked(awarded(1, 1), 1),
    )
}
"""By name."""
