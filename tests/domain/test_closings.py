"""Closing and reopening registrations: K1, K2, T1, J3."""

from typing import Any

import pytest

from contracts.facts import RegistrationClosed, RegistrationReopened
from contracts.problems import Malformed
from contracts.refusals import (
    AlreadyHeld,
    DateOutOfRange,
    JuryDateDiffers,
    JuryUnknown,
    RegistrationNotClosed,
    RegistrationNotOpen,
    RegistrationOverlaps,
    RegistrationUnknown,
    ValidationsLive,
)
from tests.domain.harness import given, needed
from tests.domain.world import (
    ANNA,
    ANNE,
    AWARDED,
    BENO,
    JURY_1,
    OPEN,
    REG_1,
    REG_2,
    VAL_1,
    VAL_2,
    VAL_3,
    WORLD,
    awarded,
    close,
    closed,
    invalidated,
    jury_held,
    merged,
    registered,
    reopen,
    reopened,
    revoked,
    validated,
)

FOR_WELD = {"target": "BLOCS", "bloc_ids": ["weld"]}


@pytest.mark.parametrize("reason", ["FAILED", "WITHDRAWN", "CANCELLED", "ABSENT"])
def test_an_open_registration_is_closed(reason: str) -> None:
    given(*WORLD, needed(registered())).when(close(reason=reason)).then_exactly(closed(reason=reason))


def test_a_registration_is_closed_only_while_it_is_open() -> None:
    given(*WORLD).when(close()).refused(RegistrationUnknown, "K1", 422, registration_id=REG_1)
    given(*OPEN, needed(closed())).when(close()).refused(
        RegistrationNotOpen, "K1", 409, registration_id=REG_1, state="CLOSED", position=7
    )
    given(*AWARDED).when(close()).refused(RegistrationNotOpen, "K1", 409, state="AWARDED", position=9)


def test_a_revoked_certificate_does_not_reopen_its_registration() -> None:
    given(*AWARDED, revoked()).when(close(closed_on="2024-06-01")).refused(RegistrationNotOpen, "K1", 409)


def test_a_reopened_registration_is_closed_again() -> None:
    given(*OPEN, closed(), needed(reopened())).when(close(closed_on="2024-06-01")).then(RegistrationClosed)


def test_a_registration_is_not_cancelled_while_a_validation_in_it_is_live() -> None:
    facts = (*OPEN, needed(validated()))
    given(*facts).when(close(reason="CANCELLED")).refused(
        ValidationsLive, "K1", 409, registration_id=REG_1, validation_ids=[VAL_1]
    )
    given(*facts).when(close(reason="FAILED")).then(RegistrationClosed)
    given(*facts, needed(invalidated())).when(close(reason="CANCELLED")).then(RegistrationClosed)
    given(*OPEN, validated(registration_id=REG_2)).when(close(reason="CANCELLED")).then(RegistrationClosed)


def test_a_registration_is_closed_from_its_own_day_until_today() -> None:
    given(*OPEN).when(close(closed_on="2024-01-10")).then(RegistrationClosed)
    given(*OPEN).when(close(closed_on="2024-01-09")).refused(DateOutOfRange, "T1", 422, since="2024-01-10")
    given(*OPEN).when(close(closed_on="2024-06-15")).then(RegistrationClosed)
    given(*OPEN).when(close(closed_on="2024-06-16")).refused(DateOutOfRange, "T1", 422, until="2024-06-15")


def test_a_jury_fails_a_candidate_on_its_own_day() -> None:
    given(*OPEN, needed(jury_held())).when(close(jury_id=JURY_1)).then(RegistrationClosed)
    given(*OPEN, jury_held(held_on="2024-03-31")).when(close(jury_id=JURY_1)).refused(
        JuryDateDiffers, "J3", 422, jury_id=JURY_1, held_on="2024-03-31"
    )
    given(*OPEN).when(close(jury_id=JURY_1)).refused(JuryUnknown, "J3", 422, jury_id=JURY_1)


@pytest.mark.parametrize("reason", ["WITHDRAWN", "CANCELLED", "ABSENT"])
def test_a_jury_only_fails(reason: str) -> None:
    given(*OPEN, jury_held()).when(close(reason=reason, jury_id=JURY_1)).refused(Malformed, None, 400)


def test_a_closing_after_a_merge_is_of_the_person_kept() -> None:
    facts = given(*WORLD, registered(person_id=ANNE), merged())
    facts.when(close()).then(RegistrationClosed, person_id=ANNA, certification_id="cqpm-welder")


def test_a_closed_registration_is_reopened() -> None:
    given(*OPEN, needed(closed())).when(reopen()).then_exactly(reopened())


def test_a_registration_is_reopened_when_its_certificate_is_revoked() -> None:
    given(*AWARDED, needed(revoked())).when(reopen()).then_exactly(reopened())


def test_nothing_else_is_reopened() -> None:
    given(*WORLD).when(reopen()).refused(RegistrationUnknown, "K2", 422, registration_id=REG_1)
    given(*OPEN).when(reopen()).refused(RegistrationNotClosed, "K2", 409, state="OPEN", position=6)
    given(*AWARDED).when(reopen()).refused(RegistrationNotClosed, "K2", 409, state="AWARDED", position=9)
    given(*OPEN, closed(), needed(reopened())).when(reopen()).refused(
        RegistrationNotClosed, "K2", 409, state="OPEN", position=8
    )


def test_a_registration_counts_by_its_last_state() -> None:
    again = (*AWARDED, revoked(), reopened())
    given(*again).when(reopen()).refused(RegistrationNotClosed, "K2", 409, state="OPEN", position=11)
    other = awarded(certificate_number="OTHER-1", awarded_on="2024-05-11")
    given(*again, needed(other)).when(reopen()).refused(RegistrationNotClosed, "K2", 409, state="AWARDED", position=12)
    given(*again, other, needed(revoked(certificate_number="OTHER-1", decided_on="2024-05-12"))).when(
        reopen(reopened_on="2024-05-12")
    ).then(RegistrationReopened)
    given(*again, needed(closed(closed_on="2024-05-20"))).when(reopen(reopened_on="2024-05-20")).then(
        RegistrationReopened
    )


@pytest.mark.parametrize(
    ("ended", "since"),
    [
        ((*OPEN, closed(closed_on="2024-04-01")), "2024-04-01"),
        ((*AWARDED, revoked(decided_on="2024-05-02")), "2024-05-02"),
        ((*AWARDED, revoked(), reopened(), closed(closed_on="2024-05-20")), "2024-05-20"),
    ],
)
def test_a_registration_is_reopened_from_the_day_of_its_end_until_today(ended: tuple[Any, ...], since: str) -> None:
    given(*ended).when(reopen(reopened_on=since)).then(RegistrationReopened)
    given(*ended).when(reopen(reopened_on="2024-03-31")).refused(DateOutOfRange, "T1", 422, since=since)
    given(*ended).when(reopen(reopened_on="2024-06-15")).then(RegistrationReopened)
    given(*ended).when(reopen(reopened_on="2024-06-16")).refused(DateOutOfRange, "T1", 422, until="2024-06-15")


def test_a_registration_is_not_reopened_beside_another_open_one() -> None:
    second = registered(registration_id=REG_2, **FOR_WELD)
    given(*OPEN, closed(), needed(second)).when(reopen()).refused(
        RegistrationOverlaps, "R6", 409, registration_id=REG_2, bloc_ids=["weld"], position=8
    )
    given(*OPEN, closed(), second, needed(closed(registration_id=REG_2))).when(reopen()).then(RegistrationReopened)
    given(*OPEN, closed(), registered(registration_id=REG_2, person_id=BENO)).when(reopen()).then(RegistrationReopened)


def test_a_registration_is_not_reopened_beside_one_under_another_name() -> None:
    given(*OPEN, closed(), needed(registered(registration_id=REG_2, person_id=ANNE)), needed(merged())).when(
        reopen()
    ).refused(RegistrationOverlaps, "R6", 409, registration_id=REG_2)


def test_a_registration_is_not_reopened_for_a_certification_held_by_now() -> None:
    other = awarded(registration_id=REG_2, certificate_number="OTHER-1", awarded_on="2024-05-01")
    given(*OPEN, closed(), registered(registration_id=REG_2), needed(other)).when(reopen()).refused(
        AlreadyHeld, "R7", 409, certificate_number="OTHER-1", position=9
    )


def test_a_registration_is_not_reopened_for_a_bloc_held_then() -> None:
    earlier = validated(validation_id=VAL_3, registration_id=REG_2, validated_on="2024-01-10")
    given(*WORLD, registered(**FOR_WELD), closed(), needed(earlier)).when(reopen()).refused(
        AlreadyHeld, "R7", 409, bloc_id="weld", validation_id=VAL_3, position=8
    )


def test_its_own_validations_are_not_in_the_way_of_a_reopening() -> None:
    own = validated(validated_on="2024-01-10", usable_until="2026-01-10")
    given(*WORLD, registered(**FOR_WELD), own, closed()).when(reopen()).then(RegistrationReopened)
    both = (*WORLD, registered(), own, validated(validation_id=VAL_2, bloc_id="read"), closed())
    given(*both).when(reopen()).then(RegistrationReopened)


def test_a_reopening_after_a_merge_is_of_the_person_kept() -> None:
    given(*WORLD, registered(person_id=ANNE), closed(person_id=ANNE), needed(merged())).when(reopen()).then(
        RegistrationReopened, person_id=ANNA, certification_id="cqpm-welder"
    )
