"""Blocs validated by equivalence: B3, and how long they are usable: B5."""

from typing import Any

import pytest

from contracts.facts import BlocValidated, Fact
from contracts.refusals import (
    EquivalenceNotApplicable,
    EquivalenceUnknown,
)
from tests.domain.harness import Decided, Needed, given, needed
from tests.domain.world import (
    ANNE,
    BENO,
    EQUI_1,
    EQUI_2,
    FITTER,
    PERSONS,
    REG_2,
    REG_3,
    VAL_2,
    VAL_3,
    VAL_4,
    WORLD,
    awarded,
    component,
    fiche,
    invalidated,
    merged,
    published,
    recognised,
    registered,
    repealed,
    revoked,
    validate,
    validated,
)

EQUIVALENCE = {"basis": "EQUIVALENCE", "equivalence_id": EQUI_1}

OF_FITTER = {"certification_id": "cqpm-fitter", "registration_id": REG_2}
TOTAL = recognised(kind="TOTAL", source={"certification_id": "cqpm-fitter"}, target={"certification_id": "cqpm-welder"})
FIT = validated(**OF_FITTER, validation_id=VAL_2, bloc_id="fit", usable_until="2024-12-31")
FITTER_AWARDED = awarded(
    **OF_FITTER,
    certificate_number="OTHER-1",
    awarded_on="2024-03-15",
    components=[component("fit", VAL_2), component("read", VAL_3)],
)
WITH_FICHE = (published(rncp=fiche()), FITTER, *PERSONS)


def test_who_holds_the_source_bloc_gets_the_target_bloc() -> None:
    given(*WORLD, needed(recognised()), registered(), needed(FIT)).when(validate(**EQUIVALENCE)).then(BlocValidated)
    given(*WORLD, recognised(), registered()).when(validate(**EQUIVALENCE)).refused(
        EquivalenceNotApplicable, "B3", 422, equivalence_id=EQUI_1, missing=["fit"]
    )


def test_the_equivalence_is_known() -> None:
    given(*WORLD, registered(), FIT).when(validate(**EQUIVALENCE)).refused(
        EquivalenceUnknown, "B3", 422, equivalence_id=EQUI_1
    )
    given(*WORLD, recognised(), registered(), FIT).when(validate(basis="EQUIVALENCE")).refused(
        EquivalenceUnknown, "B3", 422
    )


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "in_force"),
    [
        ("2024-03-15", "2024-03-15", True),
        ("2024-03-15", None, True),
        ("2024-03-16", None, False),
        ("2024-01-01", "2024-03-14", False),
    ],
)
def test_the_equivalence_is_in_force_from_its_first_day_to_its_last(
    valid_from: str, valid_until: str | None, in_force: bool
) -> None:
    dated = recognised(valid_from=valid_from, valid_until=valid_until)
    decided = given(*WORLD, dated, registered(), FIT).when(validate(**EQUIVALENCE, validated_on="2024-03-15"))
    if in_force:
        decided.then(BlocValidated)
    else:
        decided.refused(EquivalenceNotApplicable, "B3", 422, equivalence_id=EQUI_1, validated_on="2024-03-15")


def test_a_repealed_equivalence_holds_until_the_day_before() -> None:
    facts = (*WORLD, recognised(), registered(), FIT)
    given(*facts, needed(repealed(effective_from="2024-03-16"))).when(validate(**EQUIVALENCE)).then(BlocValidated)
    given(*facts, needed(repealed(effective_from="2024-03-15"))).when(validate(**EQUIVALENCE)).refused(
        EquivalenceNotApplicable, "B3", 422, validated_on="2024-03-15"
    )


def test_the_target_of_the_equivalence_is_this_bloc_of_this_certification() -> None:
    for target in (
        {"certification_id": "cqpm-welder", "bloc_ids": ["read"]},
        {"certification_id": "cqpm-mason", "bloc_ids": ["weld"]},
    ):
        given(*WORLD, recognised(target=target), registered(), FIT).when(validate(**EQUIVALENCE)).refused(
            EquivalenceNotApplicable, "B3", 422, equivalence_id=EQUI_1, bloc_id="weld"
        )


def test_a_total_equivalence_is_for_this_certification() -> None:
    reverse = recognised(
        kind="TOTAL", source={"certification_id": "cqpm-fitter"}, target={"certification_id": "cqpm-mason"}
    )
    given(*WORLD, reverse, registered(), FITTER_AWARDED).when(validate(**EQUIVALENCE)).refused(
        EquivalenceNotApplicable, "B3", 422, bloc_id="weld"
    )


def from_blocs(*source: Fact | Needed, **members: Any) -> Decided:
    """A bloc of the welder's certification is asked for, by what is held of the fitter's `fit` and `read`."""
    both = recognised(source={"certification_id": "cqpm-fitter", "bloc_ids": ["fit", "read"]})
    return given(*WORLD, both, registered(), *source).when(validate(**EQUIVALENCE, **members))


def test_every_source_bloc_is_held_and_usable() -> None:
    read = validated(validation_id=VAL_3, bloc_id="read", **OF_FITTER)
    from_blocs(FIT, needed(read)).then(BlocValidated)
    from_blocs(FIT).refused(EquivalenceNotApplicable, "B3", 422, missing=["read"])
    from_blocs(FIT, read, needed(invalidated(validation_id=VAL_3))).refused(
        EquivalenceNotApplicable, "B3", 422, missing=["read"]
    )


def test_a_source_bloc_may_be_validated_under_any_certification() -> None:
    read = validated(validation_id=VAL_3, registration_id=REG_3, certification_id="cqpm-mason", bloc_id="read")
    from_blocs(FIT, needed(read)).then(BlocValidated)


def test_a_source_bloc_is_usable_from_its_validation_to_its_last_day() -> None:
    read = validated(
        validation_id=VAL_3, bloc_id="read", **OF_FITTER, validated_on="2024-03-01", usable_until="2024-04-01"
    )
    for day in ("2024-03-15", "2024-04-01"):
        from_blocs(FIT, read, validated_on=day).then(BlocValidated)
    from_blocs(FIT, read, validated_on="2024-04-02").refused(EquivalenceNotApplicable, "B3", 422, missing=["read"])
    fit = validated(**OF_FITTER, validation_id=VAL_2, bloc_id="fit", validated_on="2024-02-01")
    from_blocs(fit, read, validated_on="2024-02-29").refused(EquivalenceNotApplicable, "B3", 422, missing=["read"])


def test_a_component_of_a_live_certificate_stands_for_a_bloc_no_longer_usable() -> None:
    spent = validated(**OF_FITTER, validation_id=VAL_2, bloc_id="fit", usable_until="2024-03-14")
    facts = (*WORLD, recognised(), registered(), spent)
    given(*facts, needed(FITTER_AWARDED)).when(validate(**EQUIVALENCE)).then(BlocValidated)
    given(*facts).when(validate(**EQUIVALENCE)).refused(EquivalenceNotApplicable, "B3", 422, missing=["fit"])
    gone = needed(revoked(**OF_FITTER, certificate_number="other-1"))
    given(*facts, FITTER_AWARDED, gone).when(validate(**EQUIVALENCE)).refused(
        EquivalenceNotApplicable, "B3", 422, missing=["fit"]
    )


def test_a_component_counts_from_the_day_of_the_award_and_of_whole_certifications_only() -> None:
    facts = given(*WORLD, recognised(), registered(), needed(FITTER_AWARDED))
    facts.when(validate(**EQUIVALENCE, validated_on="2024-03-15")).then(BlocValidated)
    facts.when(validate(**EQUIVALENCE, validated_on="2024-03-14")).refused(EquivalenceNotApplicable, "B3", 422)
    of_blocs = awarded(
        **OF_FITTER, kind="BLOCS", family="BLOC", awarded_on="2024-03-15", components=[component("fit", VAL_2)]
    )
    given(*WORLD, recognised(), registered(), of_blocs).when(validate(**EQUIVALENCE)).refused(
        EquivalenceNotApplicable, "B3", 422, missing=["fit"]
    )


def test_a_total_equivalence_asks_for_a_live_certificate_of_the_source() -> None:
    facts = (*WORLD, needed(TOTAL), registered())
    given(*facts, needed(FITTER_AWARDED)).when(validate(**EQUIVALENCE)).then(BlocValidated)
    given(*facts, needed(FITTER_AWARDED)).when(validate(**EQUIVALENCE, bloc_id="read")).then(BlocValidated)
    refused = [
        (FIT, validated(**OF_FITTER, validation_id=VAL_3, bloc_id="read")),  # all blocs, but no certificate
        (FITTER_AWARDED, revoked(**OF_FITTER, certificate_number="OTHER-1")),
        (awarded(**OF_FITTER, kind="BLOCS", family="BLOC", awarded_on="2024-03-15"),),
        (awarded(**OF_FITTER, awarded_on="2024-03-16"),),
        (awarded(registration_id=REG_2, certification_id="cqpm-mason", awarded_on="2024-03-15"),),
        (awarded(**OF_FITTER, person_id=BENO, awarded_on="2024-03-15"),),
    ]
    for held in refused:
        given(*facts, *held).when(validate(**EQUIVALENCE)).refused(
            EquivalenceNotApplicable, "B3", 422, equivalence_id=EQUI_1, certification_id="cqpm-fitter"
        )


def test_what_is_held_under_another_name_counts() -> None:
    fit = validated(**OF_FITTER, validation_id=VAL_2, bloc_id="fit", person_id=ANNE)
    given(*WORLD, recognised(), registered(), needed(fit), needed(merged())).when(validate(**EQUIVALENCE)).then(
        BlocValidated
    )
    given(*WORLD, recognised(), registered(), fit).when(validate(**EQUIVALENCE)).refused(
        EquivalenceNotApplicable, "B3", 422
    )


def test_a_bloc_by_partial_equivalence_takes_the_earliest_limit_of_its_sources() -> None:
    read = validated(validation_id=VAL_3, bloc_id="read", **OF_FITTER, usable_until="2024-11-30")
    from_blocs(FIT, read).then(BlocValidated, usable_until="2024-11-30")
    longer = validated(validation_id=VAL_4, bloc_id="read", registration_id=REG_3, usable_until="2025-11-30")
    from_blocs(FIT, read, longer).then(BlocValidated, usable_until="2024-12-31")


def test_a_source_held_only_as_a_component_counts_as_a_bloc_validated_now() -> None:
    for world, usable_until in ((WORLD, "2026-03-15"), (WITH_FICHE, "2029-03-15")):
        given(*world, recognised(), registered(), FITTER_AWARDED).when(validate(**EQUIVALENCE)).then(
            BlocValidated, usable_until=usable_until
        )
        given(*world, recognised(), registered(), FIT, FITTER_AWARDED).when(validate(**EQUIVALENCE)).then(
            BlocValidated, usable_until="2024-12-31"
        )


def test_a_source_that_is_a_component_does_not_lengthen_the_limit_of_another() -> None:
    read = validated(validation_id=VAL_4, bloc_id="read", registration_id=REG_3, usable_until="2024-11-30")
    from_blocs(FITTER_AWARDED, read).then(BlocValidated, usable_until="2024-11-30")


def test_a_bloc_by_total_equivalence_is_usable_as_one_validated_now() -> None:
    for world, usable_until in ((WORLD, "2026-03-15"), (WITH_FICHE, "2029-03-15")):
        given(*world, TOTAL, registered(), FIT, FITTER_AWARDED).when(validate(**EQUIVALENCE)).then(
            BlocValidated, usable_until=usable_until
        )


def test_another_equivalence_is_not_the_one_named() -> None:
    other = recognised(equivalence_id=EQUI_2, valid_until="2024-03-14")
    given(*WORLD, recognised(), other, registered(), FIT).when(
        validate(basis="EQUIVALENCE", equivalence_id=EQUI_2)
    ).refused(EquivalenceNotApplicable, "B3", 422, equivalence_id=EQUI_2)
