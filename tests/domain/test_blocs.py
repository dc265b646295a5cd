"""Validating and invalidating blocs, whatever the basis: B1, B6-B8, J3, T1, and what each basis names."""

import pytest

from contracts.facts import BlocInvalidated, BlocValidated
from contracts.problems import Malformed
from contracts.refusals import (
    AlreadyInvalidated,
    BlocAlreadyValidated,
    BlocNotInTarget,
    DateOutOfRange,
    JuryDateDiffers,
    JuryUnknown,
    RegistrationNotOpen,
    RegistrationUnknown,
    ValidationExists,
    ValidationInCertificate,
    ValidationUnknown,
)
from tests.domain.harness import given, needed
from tests.domain.world import (
    ANNA,
    ANNE,
    AWARDED,
    BENO,
    EQUI_1,
    EVAL_2,
    JURY_1,
    NUMBER,
    OPEN,
    REG_1,
    REG_2,
    VAL_1,
    VAL_2,
    VAL_3,
    VAL_4,
    WORLD,
    acquired,
    award,
    awarded,
    closed,
    component,
    evaluated,
    invalidate,
    invalidated,
    jury_held,
    merged,
    registered,
    reopened,
    revoked,
    validate,
    validated,
)

READY = (*OPEN, evaluated())
"""The bloc `weld` can be validated by evaluation."""


def test_a_bloc_is_validated() -> None:
    given(*WORLD, needed(registered()), needed(evaluated())).when(validate()).then_exactly(validated())


def test_a_bloc_is_validated_only_while_the_registration_is_open() -> None:
    given(*WORLD).when(validate()).refused(RegistrationUnknown, "B1", 422, registration_id=REG_1)
    given(*READY, needed(closed())).when(validate()).refused(
        RegistrationNotOpen, "B1", 409, registration_id=REG_1, state="CLOSED", position=8
    )
    given(*READY, closed(), needed(reopened())).when(validate()).then(BlocValidated)
    given(*AWARDED, revoked()).when(validate(validation_id=VAL_3)).refused(RegistrationNotOpen, "B1", 409)


def test_a_bloc_that_is_validated_is_in_the_target() -> None:
    given(*WORLD, registered(target="BLOCS", bloc_ids=["read"]), evaluated()).when(validate()).refused(
        BlocNotInTarget, "B1", 422, bloc_id="weld", bloc_ids=["read"]
    )


@pytest.mark.parametrize("basis", ["EVALUATION", "EQUIVALENCE", "CARRIED_OVER", "ARCHIVE"])
def test_a_bloc_is_validated_once_in_a_registration(basis: str) -> None:
    given(*READY, needed(validated())).when(validate(validation_id=VAL_2, basis=basis)).refused(
        BlocAlreadyValidated, "B1", 409, bloc_id="weld", registration_id=REG_1, validation_id=VAL_1
    )


def test_a_bloc_invalidated_or_validated_elsewhere_is_validated_here() -> None:
    given(*READY, validated(), needed(invalidated())).when(validate(validation_id=VAL_2)).then(BlocValidated)
    given(*READY, validated(registration_id=REG_2)).when(validate(validation_id=VAL_2)).then(BlocValidated)


def test_a_bloc_is_validated_from_the_day_of_registration_until_today() -> None:
    facts = given(*OPEN, evaluated(evaluated_on="2024-01-10"))
    facts.when(validate(validated_on="2024-01-10")).then(BlocValidated)
    facts.when(validate(validated_on="2024-01-09")).refused(DateOutOfRange, "B6", 422, since="2024-01-10")
    facts.when(validate(validated_on="2024-06-15")).then(BlocValidated)
    facts.when(validate(validated_on="2024-06-16")).refused(
        DateOutOfRange, "B6", 422, validated_on="2024-06-16", until="2024-06-15"
    )


def test_a_bloc_is_validated_by_evaluation_not_before_any_evaluation_of_it() -> None:
    facts = given(*READY, needed(evaluated(evaluation_id=EVAL_2, outcomes=acquired("cut"), evaluated_on="2024-03-20")))
    facts.when(validate(validated_on="2024-03-20")).then(BlocValidated)
    facts.when(validate(validated_on="2024-03-19")).refused(DateOutOfRange, "B6", 422, since="2024-03-20")


def test_evaluations_of_other_blocs_and_registrations_may_come_later() -> None:
    given(
        *READY,
        evaluated(evaluation_id=EVAL_2, bloc_id="read", outcomes=acquired("plans"), evaluated_on="2024-03-20"),
        evaluated(evaluation_id=VAL_3, registration_id=REG_2, evaluated_on="2024-03-20"),
    ).when(validate(validated_on="2024-03-15")).then(BlocValidated)


def test_evaluations_may_come_after_a_validation_on_another_basis() -> None:
    archive = validate(basis="ARCHIVE", decision_ref="CPN 12", validated_on="2024-02-01")
    given(*READY).when(archive, first_day="2024-06-01").then(BlocValidated)


def test_a_validation_id_is_new() -> None:
    for fact in (validated(), validated(registration_id=REG_2, person_id=BENO), validated(bloc_id="read")):
        given(*READY, needed(fact)).when(validate()).refused(
            ValidationExists, "B7", 409, validation_id=VAL_1, position=8
        )
    given(*READY, validated(), invalidated()).when(validate()).refused(ValidationExists, "B7", 409)


@pytest.mark.parametrize(
    ("basis", "member"),
    [
        (basis, member)
        for basis in ("EVALUATION", "EQUIVALENCE", "CARRIED_OVER", "ARCHIVE")
        for member, its_basis in (
            ({"equivalence_id": EQUI_1}, "EQUIVALENCE"),
            ({"source_validation_id": VAL_4}, "CARRIED_OVER"),
            ({"decision_ref": "CPN 12"}, "ARCHIVE"),
        )
        if basis != its_basis
    ],
)
def test_a_member_of_one_basis_is_not_given_with_another(basis: str, member: dict[str, str]) -> None:
    given(*READY).when(validate(basis=basis, **member)).refused(Malformed, None, 400)


def test_a_jury_validates_on_its_own_day() -> None:
    given(*READY, needed(jury_held(held_on="2024-03-15"))).when(validate(jury_id=JURY_1)).then(BlocValidated)
    given(*READY, jury_held(held_on="2024-03-16")).when(validate(jury_id=JURY_1)).refused(
        JuryDateDiffers, "J3", 422, jury_id=JURY_1, held_on="2024-03-16", day="2024-03-15"
    )
    given(*READY).when(validate(jury_id=JURY_1)).refused(JuryUnknown, "J3", 422, jury_id=JURY_1)


def test_a_validation_after_a_merge_is_of_the_person_kept() -> None:
    of_anne = (*WORLD, registered(person_id=ANNE), evaluated(person_id=ANNE), merged())
    given(*of_anne).when(validate()).then(BlocValidated, person_id=ANNA)


def test_only_a_known_validation_is_invalidated() -> None:
    given(*OPEN, needed(validated())).when(invalidate()).then_exactly(invalidated())
    given(*OPEN).when(invalidate()).refused(ValidationUnknown, "B8", 422, validation_id=VAL_1)


def test_a_validation_is_invalidated_only_once() -> None:
    given(*OPEN, validated(), needed(invalidated())).when(invalidate()).refused(
        AlreadyInvalidated, "B8", 409, validation_id=VAL_1, position=8
    )


def test_a_validation_stays_while_a_live_certificate_rests_on_it() -> None:
    given(*AWARDED[:-1], needed(awarded())).when(invalidate()).refused(
        ValidationInCertificate, "B8", 409, validation_id=VAL_1, certificate_number=NUMBER, position=9
    )
    given(*AWARDED, needed(revoked())).when(invalidate()).then(BlocInvalidated)
    given(*AWARDED, needed(revoked(certificate_number=NUMBER.lower()))).when(invalidate()).then(BlocInvalidated)


def test_a_validation_stays_while_a_second_certificate_rests_on_it() -> None:
    again = awarded(certificate_number="OTHER-1", awarded_on="2024-05-11")
    given(*AWARDED, revoked(), reopened(), needed(again)).when(invalidate()).refused(
        ValidationInCertificate, "B8", 409, certificate_number="OTHER-1", position=12
    )


def test_a_validation_that_no_certificate_names_is_invalidated_after_the_award() -> None:
    named = awarded(components=[component("weld", VAL_3), component("read", VAL_2)])
    given(*OPEN, validated(), named).when(invalidate()).then(BlocInvalidated)


def test_what_a_bloc_was_carried_over_to_does_not_keep_it() -> None:
    carried = validated(validation_id=VAL_3, registration_id=REG_2, basis="CARRIED_OVER", source_validation_id=VAL_1)
    certificate = awarded(registration_id=REG_2, components=[component("weld", VAL_3)])
    facts = (*OPEN, validated(), registered(registration_id=REG_2), carried, certificate)
    given(*facts).when(invalidate()).then(BlocInvalidated)
    given(*facts, invalidated()).when(invalidate(validation_id=VAL_3)).refused(ValidationInCertificate, "B8", 409)


def test_what_was_carried_over_stays_when_its_source_is_invalidated() -> None:
    facts = (
        *WORLD,
        registered(registration_id=REG_2),
        validated(validation_id=VAL_3, registration_id=REG_2),
        closed(registration_id=REG_2),
        registered(target="BLOCS", bloc_ids=["weld"]),
        validated(basis="CARRIED_OVER", source_validation_id=VAL_3),
        invalidated(validation_id=VAL_3, registration_id=REG_2),
    )
    given(*facts).when(award()).then(type(awarded()), components=[component("weld", VAL_1) | {"basis": "CARRIED_OVER"}])


def test_an_invalidation_is_decided_from_the_day_of_validation_until_today() -> None:
    facts = given(*OPEN, validated())
    facts.when(invalidate(decided_on="2024-03-15")).then(BlocInvalidated)
    facts.when(invalidate(decided_on="2024-03-14")).refused(DateOutOfRange, "T1", 422, since="2024-03-15")
    facts.when(invalidate(decided_on="2024-06-15")).then(BlocInvalidated)
    facts.when(invalidate(decided_on="2024-06-16")).refused(DateOutOfRange, "T1", 422, until="2024-06-15")


def test_an_invalidation_names_whose_bloc_it_was() -> None:
    given(*OPEN, validated(validation_id=VAL_2, bloc_id="read")).when(invalidate(validation_id=VAL_2)).then(
        BlocInvalidated, person_id=ANNA, certification_id="cqpm-welder", registration_id=REG_1, bloc_id="read"
    )
