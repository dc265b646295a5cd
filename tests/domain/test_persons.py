"""Persons: P1, M1, M2."""

import pytest

from contracts.facts import BlocInvalidated, CertificateRevoked, PersonErased, PersonRectified, PersonsMerged
from contracts.refusals import PersonErased as ErasedAlready
from contracts.refusals import (
    PersonExists,
    PersonMerged,
    PersonUnknown,
    RegistrationOverlaps,
    RegistrationsOpen,
    SamePerson,
)
from tests.domain.harness import given, needed
from tests.domain.world import (
    ANNA,
    ANNE,
    AWARDED,
    BENO,
    OPEN,
    PERSONS,
    REG_1,
    REG_2,
    VAL_1,
    WORLD,
    awarded,
    closed,
    erase,
    erased,
    invalidate,
    merge,
    merged,
    person_registered,
    rectified,
    rectify,
    register,
    register_person,
    registered,
    reopen,
    reopened,
    revoke,
    revoked,
    validated,
)


def test_a_person_is_registered_only_once() -> None:
    given().when(register_person()).then_exactly(person_registered())
    given(needed(person_registered())).when(register_person()).refused(
        PersonExists, "P1", 409, person_id=ANNA, position=1
    )


def test_an_erased_id_is_never_registered_again() -> None:
    given(person_registered(), erased()).when(register_person()).refused(PersonExists, "P1", 409)


def test_only_a_person_registered_is_rectified() -> None:
    given(needed(person_registered())).when(rectify()).then_exactly(rectified())
    given(person_registered(person_id=BENO)).when(rectify()).refused(PersonUnknown, "P1", 422, person_id=ANNA)
    given(person_registered(), rectified()).when(rectify()).then(PersonRectified)


def test_nothing_happens_to_a_person_erased() -> None:
    facts = given(*WORLD, needed(erased()))
    facts.when(rectify()).refused(ErasedAlready, "P1", 409, person_id=ANNA, position=6)
    facts.when(register()).refused(ErasedAlready, "P1", 409, person_id=ANNA)


def test_a_closed_registration_of_a_person_erased_is_not_reopened() -> None:
    given(*OPEN, closed(), needed(erased())).when(reopen()).refused(ErasedAlready, "P1", 409, person_id=ANNA)


def test_what_was_wrong_is_undone_even_after_erasure() -> None:
    given(*AWARDED, erased()).when(revoke()).then(CertificateRevoked, person_id=ANNA)
    given(*AWARDED, revoked(), erased()).when(invalidate()).then(BlocInvalidated, person_id=ANNA)


def test_nothing_happens_to_a_person_under_a_merged_id() -> None:
    facts = given(*WORLD, needed(merged()))
    facts.when(rectify(person_id=ANNE)).refused(PersonMerged, "P1", 409, person_id=ANNE, kept_id=ANNA, position=6)
    facts.when(register(person_id=ANNE)).refused(PersonMerged, "P1", 409, person_id=ANNE, kept_id=ANNA)
    facts.when(rectify(person_id=ANNA)).then(PersonRectified)


def test_two_persons_are_merged() -> None:
    given(needed(person_registered()), needed(person_registered(person_id=ANNE))).when(merge()).then_exactly(merged())


def test_a_person_is_not_merged_with_itself() -> None:
    given(*PERSONS).when(merge(merged_id=ANNA)).refused(SamePerson, "M1", 422, person_id=ANNA)


def test_both_persons_of_a_merge_are_known() -> None:
    given(person_registered()).when(merge()).refused(PersonUnknown, "M1", 422, person_id=ANNE)
    given(person_registered(person_id=ANNE)).when(merge()).refused(PersonUnknown, "M1", 422, person_id=ANNA)


@pytest.mark.parametrize("person_id", [ANNA, ANNE])
def test_neither_person_of_a_merge_is_erased(person_id: str) -> None:
    given(*PERSONS, needed(erased(person_id=person_id))).when(merge()).refused(
        ErasedAlready, "M1", 409, person_id=person_id, position=4
    )


def test_neither_person_of_a_merge_is_merged_into_another() -> None:
    facts = given(*PERSONS, needed(merged()))
    facts.when(merge()).refused(PersonMerged, "M1", 409, person_id=ANNE, kept_id=ANNA)
    facts.when(merge(kept_id=BENO, merged_id=ANNE)).refused(PersonMerged, "M1", 409, person_id=ANNE, kept_id=ANNA)
    facts.when(merge(kept_id=ANNE, merged_id=BENO)).refused(PersonMerged, "M1", 409, person_id=ANNE, kept_id=ANNA)
    facts.when(merge(kept_id=ANNE, merged_id=ANNA)).refused(PersonMerged, "M1", 409, person_id=ANNE, kept_id=ANNA)


def test_who_kept_its_id_is_merged_with_all_its_names() -> None:
    facts = given(*WORLD, merged(), needed(merged(kept_id=BENO, merged_id=ANNA)))
    facts.when(register(person_id=ANNE)).refused(PersonMerged, "P1", 409, kept_id=BENO, position=6)
    facts.when(register(person_id=ANNA)).refused(PersonMerged, "P1", 409, kept_id=BENO, position=7)


@pytest.mark.parametrize(
    "merges", [((ANNA, ANNE), (ANNA, BENO)), ((ANNE, BENO), (ANNA, ANNE)), ((ANNA, BENO), (ANNA, ANNE))]
)
@pytest.mark.parametrize("person_id", [ANNE, BENO])
def test_a_person_has_all_its_names_however_it_was_merged(merges: list[tuple[str, str]], person_id: str) -> None:
    done = [merged(kept_id=kept_id, merged_id=merged_id) for kept_id, merged_id in merges]
    given(*WORLD, needed(registered(person_id=person_id)), *map(needed, done)).when(
        register(registration_id=REG_2)
    ).refused(RegistrationOverlaps, "R6", 409, registration_id=REG_1)


def test_a_merge_is_not_refused_for_what_both_have_or_do() -> None:
    given(
        *OPEN,
        registered(registration_id=REG_2, person_id=ANNE),
        validated(person_id=ANNE, registration_id=REG_2),
    ).when(merge()).then(PersonsMerged)
    given(*AWARDED, awarded(registration_id=REG_2, person_id=ANNE, certificate_number="OTHER-1")).when(merge()).then(
        PersonsMerged
    )


def test_a_person_is_erased_once_no_registration_is_open() -> None:
    given(*OPEN).when(erase()).refused(
        RegistrationsOpen, "M2", 409, person_id=ANNA, registration_ids=[REG_1], positions=[6]
    )
    given(*OPEN, needed(closed())).when(erase()).then_exactly(erased())
    given(*AWARDED[:-1], needed(awarded())).when(erase()).then(PersonErased)
    given(*AWARDED, revoked()).when(erase()).then(PersonErased)
    given(*OPEN, closed(), needed(reopened())).when(erase()).refused(RegistrationsOpen, "M2", 409, positions=[8])


def test_a_registration_open_under_another_name_keeps_a_person_from_erasure() -> None:
    given(*WORLD, needed(registered(person_id=ANNE)), needed(merged())).when(erase()).refused(
        RegistrationsOpen, "M2", 409, registration_ids=[REG_1]
    )
    given(*WORLD, registered(person_id=ANNE), merged(), needed(closed(person_id=ANNA))).when(erase()).then(PersonErased)


def test_a_person_is_erased_only_once_and_under_its_kept_id() -> None:
    given(*PERSONS, needed(erased())).when(erase()).refused(ErasedAlready, "M2", 409, person_id=ANNA, position=4)
    given(*PERSONS, merged()).when(erase(person_id=ANNE)).refused(PersonMerged, "M2", 409, kept_id=ANNA)
    given().when(erase()).refused(PersonUnknown, "M2", 422, person_id=ANNA)


def test_invalidations_after_a_merge_are_of_the_person_kept() -> None:
    given(*WORLD, registered(person_id=ANNE), validated(person_id=ANNE), merged()).when(
        invalidate(validation_id=VAL_1)
    ).then(BlocInvalidated, person_id=ANNA)
