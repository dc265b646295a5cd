"""Certificates: A1-A5, T1, J3."""

import re

import pytest

from contracts.facts import CertificateAwarded, CertificateRevoked
from contracts.refusals import (
    AlreadyRevoked,
    BlocsMissing,
    CertificateNumberTaken,
    CertificateUnknown,
    DateOutOfRange,
    JuryDateDiffers,
    JuryUnknown,
    RegistrationNotOpen,
    RegistrationUnknown,
)
from services.registry.domain.certificate_number import ALPHABET, check_character, made_number
from tests.domain.harness import given, needed
from tests.domain.world import (
    ANNA,
    ANNE,
    AWARDED,
    BENO,
    BOTH_VALIDATED,
    JURY_1,
    NUMBER,
    OPEN,
    READ,
    REG_1,
    REG_2,
    VAL_1,
    VAL_2,
    VAL_3,
    WELD,
    WORLD,
    award,
    awarded,
    closed,
    component,
    fiche,
    invalidated,
    jury_held,
    merged,
    person_registered,
    published,
    registered,
    reopened,
    revoke,
    revoked,
    validated,
)


def test_a_certificate_says_all_that_it_will_ever_say() -> None:
    given(
        published(level=4, title="Soudeur", rncp=fiche(), blocs=[READ, WELD]),
        person_registered(),
        registered(reporting_status="AUTRE", branch="plasturgie", region="38"),
        needed(validated(validation_id=VAL_1, bloc_id="weld")),
        needed(validated(validation_id=VAL_2, bloc_id="read", basis="ARCHIVE")),
    ).when(award()).then_exactly(
        awarded(
            level=4,
            title="Soudeur",
            rncp_code="RNCP12345",
            reporting_status="AUTRE",
            branch="plasturgie",
            region="38",
            components=[component("read", VAL_2) | {"basis": "ARCHIVE"}, component("weld", VAL_1)],
        )
    )


def test_a_certificate_of_blocs_has_no_level_and_counts_as_bloc() -> None:
    for_read = registered(target="BLOCS", bloc_ids=["read"], family="BLOC")
    given(*WORLD, for_read, validated(bloc_id="read")).when(award()).then(
        CertificateAwarded,
        kind="BLOCS",
        family="BLOC",
        level=None,
        title="Welder",
        components=[component("read", VAL_1)],
    )


@pytest.mark.parametrize(
    ("registered_from", "registered_until", "code"),
    [
        ("2020-01-01", "2024-01-10", "RNCP12345"),  # its last day is the registration's
        ("2020-01-01", "2024-01-09", None),
        ("2024-04-01", "2025-01-01", "RNCP12345"),  # its first day is the award's
        ("2024-04-02", "2025-01-01", None),
    ],
)
def test_the_fiche_is_named_when_in_force_at_registration_or_award(
    registered_from: str, registered_until: str, code: str | None
) -> None:
    dated = published(rncp=fiche(registered_from=registered_from, registered_until=registered_until))
    given(dated, *BOTH_VALIDATED[1:]).when(award()).then(CertificateAwarded, rncp_code=code)


def test_only_an_open_registration_is_awarded() -> None:
    given(*BOTH_VALIDATED, needed(closed())).when(award()).refused(
        RegistrationNotOpen, "A1", 409, registration_id=REG_1, state="CLOSED", position=9
    )
    given(*AWARDED).when(award(certificate_number="OTHER-1")).refused(RegistrationNotOpen, "A1", 409, state="AWARDED")
    given(*WORLD).when(award()).refused(RegistrationUnknown, "A1", 422, registration_id=REG_1)


def test_a_registration_reopened_after_a_revocation_is_awarded_again_under_another_number() -> None:
    again = (*AWARDED, revoked(), needed(reopened()))
    given(*again).when(award(certificate_number="OTHER-1", awarded_on="2024-05-11")).then(CertificateAwarded)
    given(*again).when(award(awarded_on="2024-05-11")).refused(CertificateNumberTaken, "A4", 409)


def test_every_bloc_of_the_version_is_validated_in_this_registration() -> None:
    elsewhere = validated(validation_id=VAL_2, registration_id=REG_2, bloc_id="read")
    given(*OPEN, validated(), elsewhere).when(award()).refused(
        BlocsMissing, "A2", 422, missing=["read"], registration_id=REG_1, awarded_on="2024-04-01"
    )
    given(*OPEN).when(award()).refused(BlocsMissing, "A2", 422, missing=["weld", "read"])


def test_an_invalidated_bloc_is_missing_until_it_is_validated_anew() -> None:
    facts = (*BOTH_VALIDATED, needed(invalidated()))
    given(*facts).when(award()).refused(BlocsMissing, "A2", 422, missing=["weld"])
    given(*facts, validated(validation_id=VAL_3)).when(award()).then(
        CertificateAwarded, components=[component("weld", VAL_3), component("read", VAL_2)]
    )


def test_a_bloc_counts_on_the_last_day_on_which_it_is_usable_and_not_after() -> None:
    facts = (*OPEN, validated(usable_until="2024-04-01"), validated(validation_id=VAL_2, bloc_id="read"))
    given(*facts).when(award(awarded_on="2024-04-01")).then(CertificateAwarded)
    given(*facts).when(award(awarded_on="2024-04-02")).refused(BlocsMissing, "A2", 422, missing=["weld"])


def test_a_certificate_is_awarded_from_the_day_of_its_last_component_until_today() -> None:
    facts = (*OPEN, validated(), validated(validation_id=VAL_2, bloc_id="read", validated_on="2024-03-20"))
    given(*facts).when(award(awarded_on="2024-03-20")).then(CertificateAwarded)
    given(*facts).when(award(awarded_on="2024-03-19")).refused(DateOutOfRange, "A3", 422, since="2024-03-20")
    given(*facts).when(award(awarded_on="2024-06-15")).then(CertificateAwarded)
    given(*facts).when(award(awarded_on="2024-06-16")).refused(
        DateOutOfRange, "A3", 422, awarded_on="2024-06-16", until="2024-06-15"
    )


def test_a_certificate_number_is_unique_without_case_and_for_ever() -> None:
    benos = awarded(registration_id=REG_2, person_id=BENO, certificate_number="cqpm-2024-77")
    given(*BOTH_VALIDATED, needed(benos)).when(award()).refused(
        CertificateNumberTaken, "A4", 409, certificate_number=NUMBER, position=9
    )
    gone = revoked(registration_id=REG_2, person_id=BENO, certificate_number="Cqpm-2024-77")
    given(*BOTH_VALIDATED, benos, gone).when(award()).refused(CertificateNumberTaken, "A4", 409)
    given(*BOTH_VALIDATED, benos).when(award(certificate_number="CQPM-2024-78")).then(CertificateAwarded)


def test_a_number_is_made_when_none_is_given() -> None:
    fact = given(*BOTH_VALIDATED).when(award("0123ABCD", certificate_number=None)).then(CertificateAwarded)
    number = fact.certificate_number
    assert re.fullmatch(f"CQPM-2024-[{ALPHABET}]{{8}}-[0-9A-Z]", number)
    assert number == made_number("CQPM", 2024, "0123ABCD")


def test_a_made_number_names_the_family_bloc_for_blocs() -> None:
    for_read = registered(target="BLOCS", bloc_ids=["read"], family="BLOC")
    fact = (
        given(*WORLD, for_read, validated(bloc_id="read")).when(award(certificate_number=None)).then(CertificateAwarded)
    )
    assert fact.certificate_number.startswith("BLOC-2024-0123ABCD-")


def test_the_first_draw_that_is_free_makes_the_number() -> None:
    taken, free = (made_number("CQPM", 2024, draw) for draw in ("00000000", "11111111"))
    other = needed(awarded(registration_id=REG_2, person_id=BENO, certificate_number=taken.lower()))
    facts = given(*BOTH_VALIDATED, other)
    facts.when(award("00000000", "11111111", certificate_number=None)).then(CertificateAwarded, certificate_number=free)
    facts.when(award("00000000", certificate_number=None)).refused(CertificateNumberTaken, "A4", 409)


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("A1-2425G-ABC1234002", "M"),  # Global Release Identifier standard 2.1
        ("0000-0000-3A8D-0000", "Z"),  # ISAN, a work and its version
        ("0000-0000-3A8D-0000-0000-0000", "6"),
        ("0000-0001-8947-0000", "8"),
        ("0000-0001-8947-0000-0000-0000", "D"),
        ("0000-0000-D07A-0090", "Q"),
        ("0000-0000-D07A-0090-0000-0000", "X"),
    ],
)
def test_the_check_character_is_that_of_iso_7064_mod_37_36(text: str, check: str) -> None:
    assert check_character(text) == check
    assert check_character(text.lower()) == check


def test_a_check_character_tells_any_wrong_character_and_swapped_neighbours() -> None:
    number = "CQPM20240123ABCD"
    check = check_character(number)
    for place, right in enumerate(number):
        for wrong in set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") - {right}:
            assert check_character(number[:place] + wrong + number[place + 1 :]) != check
    assert check_character("CQPM20241023ABCD") != check


def test_the_date_of_a_jury_that_a_certificate_names_is_the_awards() -> None:
    given(*BOTH_VALIDATED, needed(jury_held())).when(award(jury_id=JURY_1)).then(CertificateAwarded)
    given(*BOTH_VALIDATED, jury_held(held_on="2024-03-31")).when(award(jury_id=JURY_1)).refused(
        JuryDateDiffers, "J3", 422, jury_id=JURY_1, held_on="2024-03-31", day="2024-04-01"
    )
    given(*BOTH_VALIDATED).when(award(jury_id=JURY_1)).refused(JuryUnknown, "J3", 422, jury_id=JURY_1)


def test_a_certificate_awarded_after_a_merge_is_of_the_person_kept() -> None:
    of_anne = (
        *WORLD,
        registered(person_id=ANNE),
        validated(person_id=ANNE),
        validated(person_id=ANNE, validation_id=VAL_2, bloc_id="read"),
    )
    given(*of_anne, merged()).when(award()).then(CertificateAwarded, person_id=ANNA)
    given(*of_anne, awarded(person_id=ANNE), merged()).when(revoke()).then(CertificateRevoked, person_id=ANNA)


def test_a_certificate_is_revoked_only_once() -> None:
    given(*AWARDED).when(revoke()).then_exactly(revoked())
    given(*AWARDED, needed(revoked())).when(revoke()).refused(
        AlreadyRevoked, "A5", 409, certificate_number=NUMBER, position=10
    )


def test_a_certificate_is_revoked_under_its_number_without_case() -> None:
    given(*AWARDED).when(revoke(certificate_number="cqpm-2024-77")).then(CertificateRevoked, registration_id=REG_1)
    given(*AWARDED, needed(revoked(certificate_number="cqpm-2024-77"))).when(revoke()).refused(
        AlreadyRevoked, "A5", 409
    )


def test_only_what_was_awarded_is_revoked() -> None:
    given(*BOTH_VALIDATED).when(revoke()).refused(CertificateUnknown, "A5", 422, certificate_number=NUMBER)


def test_a_revocation_is_decided_from_the_day_of_the_award_until_today() -> None:
    given(*AWARDED).when(revoke(decided_on="2024-04-01")).then(CertificateRevoked)
    given(*AWARDED).when(revoke(decided_on="2024-03-31")).refused(DateOutOfRange, "T1", 422, since="2024-04-01")
    given(*AWARDED).when(revoke(decided_on="2024-06-15")).then(CertificateRevoked)
    given(*AWARDED).when(revoke(decided_on="2024-06-16")).refused(DateOutOfRange, "T1", 422, until="2024-06-15")
