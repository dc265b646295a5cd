"""Evaluations: V1-V5, V7, T1. Which outcome decides (V6) is told where a bloc is validated by evaluation."""

from contracts.facts import EvaluationCorrected, EvaluationRecorded
from contracts.refusals import (
    BlocAlreadyValidated,
    BlocNotInTarget,
    CompetencesInvalid,
    DateOutOfRange,
    EvaluationExists,
    EvaluationUnknown,
    RegistrationNotOpen,
    RegistrationUnknown,
)
from tests.domain.harness import given, needed
from tests.domain.world import (
    ANNA,
    ANNE,
    AWARDED,
    EVAL_1,
    EVAL_2,
    OPEN,
    READ,
    REG_1,
    REG_2,
    VAL_1,
    WORLD,
    acquired,
    bloc,
    closed,
    correct,
    corrected,
    evaluate,
    evaluated,
    found,
    invalidated,
    merged,
    published,
    registered,
    reopened,
    revoked,
    validated,
)

EVALUATED = (*OPEN, evaluated())


def test_an_evaluation_is_recorded() -> None:
    given(*WORLD, needed(registered())).when(evaluate()).then_exactly(evaluated())


def test_an_evaluation_is_corrected() -> None:
    given(*WORLD, needed(registered()), needed(evaluated())).when(correct()).then_exactly(corrected())
    given(*EVALUATED, corrected()).when(correct(outcomes=found(join="NOT_ACQUIRED"))).then(EvaluationCorrected)


def test_only_a_known_registration_is_evaluated() -> None:
    given(*WORLD).when(evaluate()).refused(RegistrationUnknown, "V1", 422, registration_id=REG_1)


def test_evaluations_are_recorded_and_corrected_while_the_registration_is_open() -> None:
    facts = (*EVALUATED, needed(closed()))
    for command, fact_type in ((evaluate(evaluation_id=EVAL_2), EvaluationRecorded), (correct(), EvaluationCorrected)):
        given(*facts).when(command).refused(
            RegistrationNotOpen, "V1", 409, registration_id=REG_1, state="CLOSED", position=8
        )
        given(*facts, needed(reopened())).when(command).then(fact_type)
    for ended in (AWARDED, (*AWARDED, revoked())):
        given(*ended).when(evaluate()).refused(RegistrationNotOpen, "V1", 409, state="AWARDED")


def test_a_bloc_that_is_evaluated_is_in_the_target() -> None:
    for_read = (*WORLD, registered(target="BLOCS", bloc_ids=["read"]))
    given(*for_read).when(evaluate()).refused(
        BlocNotInTarget, "V2", 422, bloc_id="weld", registration_id=REG_1, bloc_ids=["read"]
    )
    given(*for_read).when(evaluate(bloc_id="read", outcomes=acquired("plans"))).then(EvaluationRecorded)
    given(*OPEN).when(evaluate(bloc_id="fit", outcomes=acquired("adjust"))).refused(
        BlocNotInTarget, "V2", 422, bloc_ids=["weld", "read"]
    )


def test_the_target_is_that_of_the_registrations_version() -> None:
    later = published(version=2, effective_from="2024-02-01", blocs=[READ, bloc("mill", "drill")])
    given(*OPEN, later).when(evaluate()).then(EvaluationRecorded, version=1)
    given(*OPEN, later).when(evaluate(bloc_id="mill", outcomes=acquired("drill"))).refused(BlocNotInTarget, "V2", 422)


def test_competences_that_are_evaluated_are_the_blocs_each_once() -> None:
    for outcomes, wrong in (
        (acquired("cut", "plans"), ["plans"]),
        (acquired("cut") + found(cut="ABSENT"), ["cut"]),
    ):
        given(*OPEN).when(evaluate(outcomes=outcomes)).refused(CompetencesInvalid, "V3", 422, competence_ids=wrong)
        given(*EVALUATED).when(correct(outcomes=outcomes)).refused(CompetencesInvalid, "V3", 422, competence_ids=wrong)
    given(*OPEN).when(evaluate(outcomes=found(join="ABSENT"))).then(EvaluationRecorded)


def test_an_evaluation_is_from_the_day_of_registration_until_today() -> None:
    given(*OPEN).when(evaluate(evaluated_on="2024-01-10")).then(EvaluationRecorded)
    given(*OPEN).when(evaluate(evaluated_on="2024-01-09")).refused(DateOutOfRange, "V4", 422, since="2024-01-10")
    given(*OPEN).when(evaluate(evaluated_on="2024-06-15")).then(EvaluationRecorded)
    given(*OPEN).when(evaluate(evaluated_on="2024-06-16")).refused(
        DateOutOfRange, "V4", 422, evaluated_on="2024-06-16", until="2024-06-15"
    )


def test_an_evaluation_is_recorded_only_once() -> None:
    given(*OPEN, needed(evaluated())).when(evaluate()).refused(
        EvaluationExists, "V5", 409, evaluation_id=EVAL_1, position=7
    )
    elsewhere = evaluated(registration_id=REG_2)
    given(*OPEN, needed(elsewhere)).when(evaluate()).refused(EvaluationExists, "V5", 409)
    given(*EVALUATED).when(evaluate(evaluation_id=EVAL_2)).then(EvaluationRecorded)


def test_only_a_known_evaluation_is_corrected() -> None:
    given(*EVALUATED).when(correct(evaluation_id=EVAL_2)).refused(EvaluationUnknown, "V5", 422, evaluation_id=EVAL_2)


def test_a_correction_is_from_the_day_of_the_evaluation_until_today() -> None:
    given(*EVALUATED).when(correct(corrected_on="2024-03-01")).then(EvaluationCorrected)
    given(*EVALUATED).when(correct(corrected_on="2024-02-29")).refused(DateOutOfRange, "T1", 422, since="2024-03-01")
    given(*EVALUATED).when(correct(corrected_on="2024-06-15")).then(EvaluationCorrected)
    given(*EVALUATED).when(correct(corrected_on="2024-06-16")).refused(DateOutOfRange, "T1", 422, until="2024-06-15")


def test_a_validated_bloc_is_neither_evaluated_nor_corrected() -> None:
    for command in (evaluate(evaluation_id=EVAL_2), correct()):
        given(*EVALUATED, needed(validated())).when(command).refused(
            BlocAlreadyValidated, "V7", 409, bloc_id="weld", registration_id=REG_1, validation_id=VAL_1
        )


def test_a_bloc_validated_elsewhere_or_no_more_is_evaluated() -> None:
    given(*OPEN, validated(registration_id=REG_2)).when(evaluate()).then(EvaluationRecorded)
    given(*EVALUATED, validated(), needed(invalidated())).when(evaluate(evaluation_id=EVAL_2)).then(EvaluationRecorded)
    given(*EVALUATED, validated(), needed(invalidated())).when(correct()).then(EvaluationCorrected)
    given(*OPEN, validated()).when(evaluate(bloc_id="read", outcomes=acquired("plans"))).then(EvaluationRecorded)


def test_evaluations_after_a_merge_are_of_the_person_kept() -> None:
    of_anne = given(*WORLD, registered(person_id=ANNE), evaluated(person_id=ANNE), merged())
    of_anne.when(evaluate(evaluation_id=EVAL_2)).then(EvaluationRecorded, person_id=ANNA)
    of_anne.when(correct()).then(EvaluationCorrected, person_id=ANNA, registration_id=REG_1, bloc_id="weld")
