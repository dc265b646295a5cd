"""Blocs validated by evaluation: B2, V6, and how long they are usable: B5."""

from typing import Any

import pytest

from contracts.facts import BlocValidated, Fact
from contracts.refusals import CompetencesMissing
from tests.domain.harness import given, needed
from tests.domain.world import (
    ANNE,
    BENO,
    EVAL_1,
    EVAL_2,
    EVAL_3,
    OPEN,
    PERSONS,
    READ,
    REG_1,
    REG_2,
    REG_3,
    WELD,
    WORLD,
    acquired,
    closed,
    corrected,
    evaluated,
    fiche,
    found,
    merged,
    published,
    registered,
    reopened,
    validate,
)


def test_every_competence_of_the_bloc_is_acquired() -> None:
    given(*OPEN, needed(evaluated(outcomes=acquired("cut", "join")))).when(validate()).then(BlocValidated)
    given(*OPEN, evaluated(outcomes=acquired("cut"))).when(validate()).refused(
        CompetencesMissing, "B2", 422, bloc_id="weld", registration_id=REG_1, missing=["join"]
    )
    given(*OPEN).when(validate()).refused(CompetencesMissing, "B2", 422, missing=["cut", "join"])


def test_competences_are_acquired_in_any_number_of_evaluations() -> None:
    given(
        *OPEN, evaluated(outcomes=acquired("join")), needed(evaluated(evaluation_id=EVAL_2, outcomes=acquired("cut")))
    ).when(validate()).then(BlocValidated)


@pytest.mark.parametrize("outcome", ["NOT_ACQUIRED", "ABSENT"])
def test_only_acquired_is_acquired(outcome: str) -> None:
    given(*OPEN, evaluated(outcomes=found(cut="ACQUIRED", join=outcome))).when(validate()).refused(
        CompetencesMissing, "B2", 422, missing=["join"]
    )


def test_an_evaluation_of_another_bloc_or_registration_does_not_count() -> None:
    for fact in (evaluated(registration_id=REG_2), evaluated(bloc_id="read", outcomes=acquired("cut", "join"))):
        given(*OPEN, fact).when(validate()).refused(CompetencesMissing, "B2", 422)


@pytest.mark.parametrize(
    ("first", "second", "decides"),
    [
        ("2024-03-01", "2024-03-02", "second"),
        ("2024-03-02", "2024-03-01", "first"),
        ("2024-03-01", "2024-03-01", "second"),
    ],
)
def test_the_latest_evaluation_decides_then_the_later_position(first: str, second: str, decides: str) -> None:
    for outcomes in (("ACQUIRED", "NOT_ACQUIRED"), ("NOT_ACQUIRED", "ACQUIRED")):
        decided = given(
            *OPEN,
            evaluated(outcomes=found(cut="ACQUIRED", join=outcomes[0]), evaluated_on=first),
            evaluated(evaluation_id=EVAL_2, outcomes=found(join=outcomes[1]), evaluated_on=second),
        ).when(validate())
        if outcomes[decides == "second"] == "ACQUIRED":
            decided.then(BlocValidated)
        else:
            decided.refused(CompetencesMissing, "B2", 422, missing=["join"])


def test_a_correction_replaces_the_outcomes_it_names() -> None:
    failed = evaluated(outcomes=found(cut="ACQUIRED", join="NOT_ACQUIRED"))
    given(*OPEN, failed, needed(corrected(outcomes=found(join="ACQUIRED")))).when(validate()).then(BlocValidated)
    given(*OPEN, evaluated(), needed(corrected(outcomes=found(cut="ABSENT")))).when(validate()).refused(
        CompetencesMissing, "B2", 422, missing=["cut"]
    )
    twice = (corrected(outcomes=found(join="ACQUIRED")), corrected(outcomes=found(join="ABSENT")))
    given(*OPEN, failed, *twice).when(validate()).refused(CompetencesMissing, "B2", 422, missing=["join"])


def test_a_correction_does_not_make_its_evaluation_a_later_one() -> None:
    given(
        *OPEN,
        evaluated(outcomes=found(cut="ACQUIRED", join="NOT_ACQUIRED"), evaluated_on="2024-03-01"),
        evaluated(evaluation_id=EVAL_2, outcomes=found(join="NOT_ACQUIRED"), evaluated_on="2024-03-02"),
        corrected(outcomes=found(join="ACQUIRED"), corrected_on="2024-03-10"),
    ).when(validate()).refused(CompetencesMissing, "B2", 422, missing=["join"])


def failed(closed_on: str = "2024-02-01", **of: Any) -> tuple[Fact, ...]:
    """Another registration, in which `join` was acquired before it failed."""
    person = {name: value for name, value in of.items() if name != "reason"}
    return (
        registered(registration_id=REG_2, registered_on="2020-01-10", **person),
        evaluated(evaluation_id=EVAL_2, registration_id=REG_2, outcomes=acquired("join"), **person),
        closed(registration_id=REG_2, closed_on=closed_on, **of),
    )


CUT_HERE = (registered(), evaluated(outcomes=acquired("cut")))


def test_a_competence_without_an_outcome_here_is_kept_from_a_failure() -> None:
    given(*WORLD, *map(needed, failed()), *map(needed, CUT_HERE)).when(validate()).then(BlocValidated)


@pytest.mark.parametrize("outcome", ["NOT_ACQUIRED", "ABSENT"])
def test_a_competence_with_an_outcome_here_is_not_kept(outcome: str) -> None:
    here = (registered(), evaluated(outcomes=found(cut="ACQUIRED", join=outcome)))
    given(*WORLD, *failed(), *here).when(validate()).refused(CompetencesMissing, "B2", 422, missing=["join"])


@pytest.mark.parametrize(
    ("closed_on", "validated_on", "kept"),
    [
        ("2022-03-15", "2024-03-15", True),  # 24 months to the day
        ("2022-03-14", "2024-03-15", False),
        ("2024-03-15", "2024-03-15", True),
        ("2024-03-16", "2024-03-15", False),  # not failed yet
        ("2020-02-29", "2022-02-28", True),
        ("2020-02-29", "2022-03-01", False),
        ("2022-02-28", "2024-02-28", True),
        ("2022-02-28", "2024-02-29", False),
    ],
)
def test_a_competence_is_kept_for_24_months_from_the_failure(closed_on: str, validated_on: str, kept: bool) -> None:
    here = (
        registered(registered_on="2022-01-10"),
        evaluated(outcomes=acquired("cut"), evaluated_on="2022-01-10"),
    )
    decided = given(*WORLD, *failed(closed_on), *here).when(validate(validated_on=validated_on))
    if kept:
        decided.then(BlocValidated)
    else:
        decided.refused(CompetencesMissing, "B2", 422, missing=["join"])


@pytest.mark.parametrize("reason", ["WITHDRAWN", "CANCELLED", "ABSENT"])
def test_a_competence_is_kept_from_a_failure_only(reason: str) -> None:
    given(*WORLD, *failed(reason=reason), *CUT_HERE).when(validate()).refused(CompetencesMissing, "B2", 422)


def test_a_competence_is_kept_from_a_registration_by_its_last_state() -> None:
    again = (*failed(), reopened(registration_id=REG_2))
    given(*WORLD, *again, *CUT_HERE).when(validate()).refused(CompetencesMissing, "B2", 422)
    withdrawn = closed(registration_id=REG_2, reason="WITHDRAWN")
    given(*WORLD, *again, withdrawn, *CUT_HERE).when(validate()).refused(CompetencesMissing, "B2", 422)
    failed_again = closed(registration_id=REG_2, closed_on="2024-03-10")
    given(*WORLD, *again, needed(failed_again), *CUT_HERE).when(validate()).then(BlocValidated)


def test_a_competence_is_kept_for_the_same_person_and_certification_only() -> None:
    given(*WORLD, *failed(person_id=BENO), *CUT_HERE).when(validate()).refused(CompetencesMissing, "B2", 422)
    given(*WORLD, *failed(certification_id="cqpm-fitter"), *CUT_HERE).when(validate()).refused(
        CompetencesMissing, "B2", 422
    )


def test_a_competence_is_kept_under_another_name_of_the_person() -> None:
    given(*WORLD, *map(needed, failed(person_id=ANNE)), *CUT_HERE, needed(merged())).when(validate()).then(
        BlocValidated
    )
    given(*WORLD, *failed(person_id=ANNE), *CUT_HERE).when(validate()).refused(CompetencesMissing, "B2", 422)


def test_a_competence_is_kept_from_an_earlier_version() -> None:
    later = published(version=2, effective_from="2024-01-01", blocs=[READ, WELD])
    given(*WORLD, *failed(), later, registered(version=2), CUT_HERE[1]).when(validate()).then(BlocValidated, version=2)


def test_competences_are_kept_from_several_failures() -> None:
    third = (
        registered(registration_id=REG_3),
        evaluated(evaluation_id=EVAL_3, registration_id=REG_3, outcomes=found(cut="ACQUIRED", join="ABSENT")),
        closed(registration_id=REG_3, closed_on="2024-03-10"),
    )
    given(*WORLD, *failed(), *third, registered()).when(validate()).then(BlocValidated)


def test_what_counts_of_a_failure_is_the_outcome_that_decided_there() -> None:
    spoilt = corrected(evaluation_id=EVAL_2, registration_id=REG_2, outcomes=found(join="NOT_ACQUIRED"), reason="FRAUD")
    there = failed()
    given(*WORLD, *there[:2], needed(spoilt), there[2], *CUT_HERE).when(validate()).refused(
        CompetencesMissing, "B2", 422, missing=["join"]
    )


@pytest.mark.parametrize(
    ("validated_on", "usable_until"),
    [("2024-03-15", "2026-03-15"), ("2024-02-29", "2026-02-28"), ("2022-02-28", "2024-02-28")],
)
def test_a_bloc_without_fiche_is_usable_for_24_months(validated_on: str, usable_until: str) -> None:
    here = (registered(registered_on="2022-01-10"), evaluated(evaluated_on="2022-01-10"))
    given(*WORLD, *here).when(validate(validated_on=validated_on)).then(BlocValidated, usable_until=usable_until)


@pytest.mark.parametrize(
    ("registered_from", "registered_until", "usable_until"),
    [
        ("2020-01-01", "2025-01-01", "2029-02-28"),
        ("2020-01-01", "2024-01-10", "2029-02-28"),  # ends on the day of registration
        ("2020-01-01", "2024-01-09", "2026-02-28"),
        ("2024-02-29", "2025-01-01", "2029-02-28"),  # begins on the day of validation
        ("2024-03-01", "2025-01-01", "2026-02-28"),
        ("2024-01-20", "2024-02-20", "2026-02-28"),  # neither on the one nor on the other
    ],
)
def test_a_bloc_is_usable_for_five_years_when_a_fiche_was_in_force_at_registration_or_validation(
    registered_from: str, registered_until: str, usable_until: str
) -> None:
    dated = published(rncp=fiche(registered_from=registered_from, registered_until=registered_until))
    given(dated, *PERSONS, registered(), evaluated(evaluated_on="2024-02-01")).when(
        validate(validated_on="2024-02-29")
    ).then(BlocValidated, usable_until=usable_until)


def test_the_fiche_is_that_of_the_registrations_version() -> None:
    with_fiche = published(version=2, effective_from="2024-02-01", rncp=fiche())
    given(*OPEN, with_fiche, evaluated(evaluation_id=EVAL_1)).when(validate()).then(
        BlocValidated, version=1, usable_until="2026-03-15"
    )
