"""Blocs carried over (B4) or from the archive (B9), and how long they are usable (B5)."""

from typing import Any

import pytest

from contracts.facts import BlocValidated, Fact
from contracts.refusals import (
    ArchiveNotAllowed,
    SourceNotUsable,
    ValidationUnknown,
)
from tests.domain.harness import Given, Needed, given, needed
from tests.domain.world import (
    ANNE,
    BENO,
    FITTER,
    PERSONS,
    REG_2,
    REG_3,
    VAL_1,
    VAL_2,
    VAL_3,
    WORLD,
    awarded,
    component,
    fiche,
    invalidated,
    merged,
    published,
    registered,
    revoked,
    validate,
    validated,
)

CARRIED = {"basis": "CARRIED_OVER", "source_validation_id": VAL_2}
ARCHIVED = {"basis": "ARCHIVE", "decision_ref": "CPN 2023-12"}
WITH_FICHE = (published(rncp=fiche()), FITTER, *PERSONS)


def carrying(*facts: Fact | Needed, **source: Any) -> Given:
    """Anna's `weld` was validated in another registration."""
    held = {"validation_id": VAL_2, "registration_id": REG_2, "validated_on": "2024-02-01"} | source
    return given(*WORLD, needed(validated(**held)), registered(), *facts)


def test_a_bloc_is_carried_over_and_keeps_its_limit() -> None:
    carrying(usable_until="2024-12-31").when(validate(**CARRIED)).then(BlocValidated, usable_until="2024-12-31")
    held = validated(validation_id=VAL_2, registration_id=REG_2, usable_until="2024-12-31")
    given(*WITH_FICHE, held, registered()).when(validate(**CARRIED)).then(BlocValidated, usable_until="2024-12-31")


def test_the_source_is_a_live_validation() -> None:
    given(*WORLD, registered()).when(validate(**CARRIED)).refused(
        ValidationUnknown, "B4", 422, source_validation_id=VAL_2
    )
    carrying(needed(invalidated(validation_id=VAL_2, registration_id=REG_2))).when(validate(**CARRIED)).refused(
        ValidationUnknown, "B4", 422, source_validation_id=VAL_2
    )
    given(*WORLD, registered()).when(validate(basis="CARRIED_OVER")).refused(ValidationUnknown, "B4", 422)


def test_the_source_is_of_the_same_bloc_whatever_its_certification() -> None:
    carrying(bloc_id="read").when(validate(**CARRIED)).refused(
        SourceNotUsable, "B4", 422, source_validation_id=VAL_2, bloc_id="weld"
    )
    carrying(bloc_id="read", certification_id="cqpm-fitter").when(validate(**CARRIED, bloc_id="read")).then(
        BlocValidated
    )


def test_the_source_is_of_the_same_person_under_any_name() -> None:
    carrying(person_id=BENO).when(validate(**CARRIED)).refused(SourceNotUsable, "B4", 422)
    carrying(needed(merged()), person_id=ANNE).when(validate(**CARRIED)).then(BlocValidated)
    given(*WORLD, validated(validation_id=VAL_2, registration_id=REG_2), registered(person_id=ANNE), merged()).when(
        validate(**CARRIED)
    ).then(BlocValidated)


def test_the_source_is_usable_from_its_day_to_its_last() -> None:
    facts = carrying(validated_on="2024-02-01", usable_until="2024-03-15")
    for day in ("2024-02-01", "2024-03-15"):
        facts.when(validate(**CARRIED, validated_on=day)).then(BlocValidated, usable_until="2024-03-15")
    for day in ("2024-01-31", "2024-03-16"):
        facts.when(validate(**CARRIED, validated_on=day)).refused(
            SourceNotUsable, "B4", 422, source_validation_id=VAL_2, usable_until="2024-03-15", validated_on=day
        )


SPENT = {"usable_until": "2024-03-14"}
CERTIFIED = awarded(
    registration_id=REG_2,
    certificate_number="OTHER-1",
    awarded_on="2024-03-15",
    components=[component("weld", VAL_2)],
)


def test_a_component_of_a_live_certificate_is_carried_over_as_if_validated_now() -> None:
    carrying(needed(CERTIFIED), **SPENT).when(validate(**CARRIED)).then(BlocValidated, usable_until="2026-03-15")
    held = validated(validation_id=VAL_2, registration_id=REG_2, **SPENT)
    given(*WITH_FICHE, held, registered(), CERTIFIED).when(validate(**CARRIED)).then(
        BlocValidated, usable_until="2029-03-15"
    )


def test_a_component_that_is_still_usable_keeps_its_limit() -> None:
    carrying(CERTIFIED, usable_until="2024-03-15").when(validate(**CARRIED)).then(
        BlocValidated, usable_until="2024-03-15"
    )


def test_a_component_of_a_certificate_that_does_not_count_is_not_carried_over() -> None:
    revocation = revoked(registration_id=REG_2, certificate_number="other-1")
    carrying(CERTIFIED, needed(revocation), **SPENT).when(validate(**CARRIED)).refused(SourceNotUsable, "B4", 422)
    for members in (
        {"kind": "BLOCS", "family": "BLOC"},
        {"awarded_on": "2024-03-16"},
        {"components": [component("weld", VAL_3)]},
    ):
        other = awarded(
            **{"registration_id": REG_2, "awarded_on": "2024-03-15", "components": [component("weld", VAL_2)]} | members
        )
        carrying(needed(other), **SPENT).when(validate(**CARRIED)).refused(SourceNotUsable, "B4", 422)


def test_a_component_under_another_name_of_the_person_is_carried_over() -> None:
    of_anne = awarded(
        registration_id=REG_2, person_id=ANNE, awarded_on="2024-03-15", components=[component("weld", VAL_2)]
    )
    carrying(needed(of_anne), needed(merged()), person_id=ANNE, **SPENT).when(validate(**CARRIED)).then(BlocValidated)


def test_a_chain_of_carrying_over_keeps_the_first_limit() -> None:
    second = carrying(usable_until="2024-12-31").when(validate(**CARRIED)).then(BlocValidated)
    from_second = validate(validation_id=VAL_3, registration_id=REG_3, basis="CARRIED_OVER", source_validation_id=VAL_1)
    given(*WORLD, needed(second), registered(registration_id=REG_3)).when(from_second).then(
        BlocValidated, usable_until="2024-12-31"
    )


def test_what_was_carried_over_is_carried_on_when_its_source_is_invalidated() -> None:
    chain = validated(validation_id=VAL_3, registration_id=REG_3, basis="CARRIED_OVER", source_validation_id=VAL_2)
    source = validated(validation_id=VAL_2, registration_id=REG_2)
    gone = invalidated(validation_id=VAL_2, registration_id=REG_2)
    given(*WORLD, source, needed(chain), gone, registered()).when(
        validate(basis="CARRIED_OVER", source_validation_id=VAL_3)
    ).then(BlocValidated)


def test_history_from_before_the_registry_needs_a_decision_and_no_evaluation() -> None:
    facts = given(*WORLD, registered())
    facts.when(validate(**ARCHIVED, validated_on="2024-02-29"), first_day="2024-03-01").then(BlocValidated)
    facts.when(validate(basis="ARCHIVE", validated_on="2024-02-29"), first_day="2024-03-01").refused(
        ArchiveNotAllowed, "B9", 422
    )


def test_the_archive_ends_before_the_day_of_position_1() -> None:
    for day in ("2024-03-01", "2024-03-02"):
        given(*WORLD, registered()).when(validate(**ARCHIVED, validated_on=day), first_day="2024-03-01").refused(
            ArchiveNotAllowed, "B9", 422, validated_on=day, first_day="2024-03-01"
        )


@pytest.mark.parametrize(("world", "usable_until"), [(WORLD, "2026-02-28"), (WITH_FICHE, "2029-02-28")])
def test_a_bloc_from_the_archive_is_usable_as_one_by_evaluation(world: tuple[Fact, ...], usable_until: str) -> None:
    given(*world, registered()).when(validate(**ARCHIVED, validated_on="2024-02-29"), first_day="2024-03-01").then(
        BlocValidated, usable_until=usable_until, validation_id=VAL_1
    )
