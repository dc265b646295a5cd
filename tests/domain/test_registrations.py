"""Registrations: R1-R11."""

import pytest

from contracts.facts import CandidateRegistered
from contracts.refusals import (
    AlreadyHeld,
    CertificationUnknown,
    DateOutOfRange,
    PersonUnknown,
    RegistrationExists,
    RegistrationOverlaps,
    RegistrationsEnded,
    RouteClosed,
    TargetInvalid,
    VersionNotInForce,
)
from tests.domain.harness import given, needed
from tests.domain.world import (
    ANNE,
    AWARDED,
    BENO,
    BOTH_VALIDATED,
    CATALOGUE,
    FITTER,
    NUMBER,
    OPEN,
    PERSONS,
    READ,
    REG_1,
    REG_2,
    REG_3,
    VAL_1,
    VAL_2,
    WELD,
    WELDER,
    WORLD,
    awarded,
    closed,
    fiche,
    invalidated,
    merged,
    published,
    register,
    registered,
    reopened,
    revoked,
    validated,
    withdrawn,
)


def test_a_candidate_is_registered() -> None:
    given(*CATALOGUE, needed(PERSONS[0])).when(register()).then_exactly(registered())


def test_only_a_person_registered_becomes_a_candidate() -> None:
    given(*CATALOGUE, PERSONS[1]).when(register()).refused(PersonUnknown, "P1", 422)


def test_the_certification_is_published() -> None:
    given(FITTER, *PERSONS).when(register()).refused(CertificationUnknown, "R1", 422, certification_id="cqpm-welder")


@pytest.mark.parametrize(
    ("registered_on", "version"),
    [("2024-01-31", 1), ("2024-02-01", 3), ("2024-02-29", 3), ("2024-03-01", 4), ("2024-06-15", 4)],
)
def test_the_version_is_the_highest_one_in_force(registered_on: str, version: int) -> None:
    dated = [
        published(version=n, effective_from=day)
        for n, day in enumerate(("2010-01-01", "2024-02-01", "2024-02-01", "2024-03-01"), 1)
    ]
    facts = given(*dated, *PERSONS)
    facts.when(register(registered_on=registered_on)).then(CandidateRegistered, version=version)
    facts.when(register(registered_on=registered_on, version=version)).then(CandidateRegistered)
    facts.when(register(registered_on=registered_on, version=version - 1 or 2)).refused(
        VersionNotInForce, "R1", 422, version=version - 1 or 2, version_in_force=version, registered_on=registered_on
    )


def test_nobody_is_registered_before_the_first_version_is_in_force() -> None:
    facts = given(published(effective_from="2024-01-10"), *PERSONS)
    facts.when(register(registered_on="2024-01-10")).then(CandidateRegistered)
    facts.when(register(registered_on="2024-01-09")).refused(
        VersionNotInForce, "R1", 422, certification_id="cqpm-welder", registered_on="2024-01-09"
    )


def test_nobody_is_registered_from_the_day_of_withdrawal_on() -> None:
    facts = given(*WORLD, needed(withdrawn(effective_from="2024-02-01")))
    facts.when(register(registered_on="2024-01-31")).then(CandidateRegistered)
    facts.when(register(registered_on="2024-02-01")).refused(
        RegistrationsEnded, "R2", 422, withdrawn_from="2024-02-01", registered_on="2024-02-01"
    )


def test_a_registration_for_blocs_names_blocs_of_the_version_each_once() -> None:
    facts = given(*WORLD)
    facts.when(register(target="BLOCS", bloc_ids=["read"])).then(CandidateRegistered)
    facts.when(register(target="BLOCS", bloc_ids=["weld", "read"])).then(CandidateRegistered)
    facts.when(register(target="BLOCS", bloc_ids=["weld", "fit"])).refused(TargetInvalid, "R3", 422, bloc_ids=["fit"])
    facts.when(register(target="BLOCS", bloc_ids=["read", "read"])).refused(TargetInvalid, "R3", 422, bloc_ids=["read"])
    facts.when(register(target="BLOCS", bloc_ids=[])).refused(TargetInvalid, "R3", 422)
    facts.when(register(target="BLOCS")).refused(TargetInvalid, "R3", 422)


def test_a_bloc_of_another_version_is_not_one_of_this() -> None:
    without_weld = published(version=2, effective_from="2024-01-01", blocs=[READ])
    given(*WORLD, without_weld).when(register(target="BLOCS", bloc_ids=["weld"])).refused(
        TargetInvalid, "R3", 422, bloc_ids=["weld"], version=2
    )


def test_a_registration_for_a_certification_names_no_blocs() -> None:
    given(*WORLD).when(register(bloc_ids=["read"])).refused(TargetInvalid, "R3", 422, bloc_ids=["read"])


@pytest.mark.parametrize(
    ("registered_on", "accepted"),
    [("2023-12-31", True), ("2024-01-01", False), ("2024-05-31", False), ("2024-06-01", True)],
)
def test_a_fiche_in_force_opens_its_routes_only(registered_on: str, accepted: bool) -> None:
    open_routes = fiche(registered_from="2024-01-01", registered_until="2024-05-31", routes=["VAE", "APPRENTISSAGE"])
    facts = given(published(rncp=open_routes), *PERSONS)
    facts.when(register(registered_on=registered_on, route="VAE")).then(CandidateRegistered)
    decided = facts.when(register(registered_on=registered_on, route="FORMATION"))
    if accepted:
        decided.then(CandidateRegistered)
    else:
        decided.refused(RouteClosed, "R5", 422, route="FORMATION", routes=["VAE", "APPRENTISSAGE"])


def test_a_fiche_without_routes_opens_all() -> None:
    given(published(rncp=fiche()), *PERSONS).when(register(route="CANDIDAT_LIBRE")).then(CandidateRegistered)


SECOND = {"registration_id": REG_2}
FOR_WELD = {"target": "BLOCS", "bloc_ids": ["weld"]}
FOR_READ = {"target": "BLOCS", "bloc_ids": ["read"]}
OF_FITTER = {"certification_id": "cqpm-fitter"}


def test_nobody_is_registered_twice_for_the_same_certification() -> None:
    given(*WORLD, needed(registered())).when(register(**SECOND)).refused(
        RegistrationOverlaps, "R6", 409, registration_id=REG_1, position=6
    )
    given(*OPEN).when(register(**SECOND, person_id=BENO)).then(CandidateRegistered)


def test_nobody_is_registered_twice_for_the_same_bloc_whatever_the_certification() -> None:
    given(*OPEN).when(register(**SECOND, **OF_FITTER)).refused(RegistrationOverlaps, "R6", 409, bloc_ids=["read"])
    given(*WORLD, registered(**FOR_READ)).when(register(**SECOND, **OF_FITTER, **FOR_READ)).refused(
        RegistrationOverlaps, "R6", 409, bloc_ids=["read"]
    )


def test_registrations_for_other_blocs_stand_beside_each_other() -> None:
    given(*WORLD, registered(**FOR_READ)).when(register(**SECOND, **FOR_WELD)).then(CandidateRegistered)
    given(*OPEN).when(register(**SECOND, **OF_FITTER, target="BLOCS", bloc_ids=["fit"])).then(CandidateRegistered)


def test_a_registration_for_the_certification_excludes_one_for_a_bloc_that_another_version_had() -> None:
    without_weld = published(version=2, effective_from="2024-02-01", blocs=[READ])
    whole = register(**SECOND, registered_on="2024-02-01")
    given(*WORLD, without_weld, registered(**FOR_WELD)).when(whole).refused(
        RegistrationOverlaps, "R6", 409, registration_id=REG_1, bloc_ids=[]
    )
    given(*OPEN, published(version=2, effective_from="2024-02-01", blocs=[READ, WELD])).when(
        register(**SECOND, **FOR_WELD, registered_on="2024-02-01")
    ).refused(RegistrationOverlaps, "R6", 409)


def test_only_open_registrations_stand_in_the_way() -> None:
    given(*OPEN, needed(closed())).when(register(**SECOND)).then(CandidateRegistered)
    given(*AWARDED, needed(revoked())).when(register(**SECOND)).then(CandidateRegistered)
    given(*OPEN, closed(), needed(reopened())).when(register(**SECOND)).refused(
        RegistrationOverlaps, "R6", 409, registration_id=REG_1, position=8
    )


def test_a_registration_under_another_name_stands_in_the_way() -> None:
    given(*WORLD, needed(registered(person_id=ANNE)), needed(merged())).when(register(**SECOND)).refused(
        RegistrationOverlaps, "R6", 409, registration_id=REG_1
    )


def test_who_holds_the_certification_is_not_registered_for_it() -> None:
    given(*AWARDED).when(register(**SECOND)).refused(AlreadyHeld, "R7", 409, certificate_number=NUMBER, position=9)
    given(*AWARDED, needed(revoked(certificate_number=NUMBER.lower()))).when(register(**SECOND)).then(
        CandidateRegistered
    )
    given(*AWARDED).when(register(**SECOND, **OF_FITTER)).then(CandidateRegistered)


def test_a_certificate_is_in_the_way_whatever_its_day_and_the_name_it_was_awarded_to() -> None:
    given(*AWARDED).when(register(**SECOND, registered_on="2024-01-09")).refused(AlreadyHeld, "R7", 409)
    given(*WORLD, needed(awarded(person_id=ANNE)), needed(merged())).when(register(**SECOND)).refused(
        AlreadyHeld, "R7", 409
    )


def test_a_certificate_of_blocs_is_not_in_the_way_of_the_certification() -> None:
    given(*WORLD, registered(**FOR_READ), validated(bloc_id="read"), awarded(kind="BLOCS", family="BLOC")).when(
        register(**SECOND)
    ).then(CandidateRegistered)


@pytest.mark.parametrize(
    ("registered_on", "accepted"),
    [("2024-03-14", True), ("2024-03-15", False), ("2024-06-01", False), ("2024-06-02", True)],
)
def test_who_holds_a_bloc_is_not_registered_for_it_while_it_is_usable(registered_on: str, accepted: bool) -> None:
    held = validated(validation_id=VAL_2, bloc_id="read", usable_until="2024-06-01")
    decided = given(*OPEN, needed(held), closed()).when(
        register(**SECOND, **OF_FITTER, **FOR_READ, registered_on=registered_on)
    )
    if accepted:
        decided.then(CandidateRegistered)
    else:
        decided.refused(
            AlreadyHeld, "R7", 409, bloc_id="read", validation_id=VAL_2, usable_until="2024-06-01", position=7
        )


def test_who_holds_all_blocs_but_no_certificate_is_registered_for_the_certification() -> None:
    given(*BOTH_VALIDATED, closed()).when(register(**SECOND, registered_on="2024-03-15")).then(CandidateRegistered)
    given(*BOTH_VALIDATED, closed()).when(register(**SECOND, **FOR_WELD, registered_on="2024-03-15")).refused(
        AlreadyHeld, "R7", 409, validation_id=VAL_1
    )


def test_an_invalidated_bloc_is_not_held() -> None:
    again = register(**SECOND, **FOR_WELD, registered_on="2024-03-15")
    given(*BOTH_VALIDATED, closed(), needed(invalidated())).when(again).then(CandidateRegistered)


@pytest.mark.parametrize(
    ("status", "reporting_status"),
    [
        ("SALARIE", "SALARIE"),
        ("ALTERNANT", "SALARIE"),
        ("INTERIMAIRE", "SALARIE"),
        ("DEMANDEUR_EMPLOI", "DEMANDEUR_EMPLOI"),
        ("INDEPENDANT", "AUTRE"),
        ("AUTRE", "AUTRE"),
    ],
)
def test_a_status_is_counted_as_salaried_job_seeking_or_other(status: str, reporting_status: str) -> None:
    given(*WORLD).when(register(status=status)).then(CandidateRegistered, reporting_status=reporting_status)


def test_a_registration_id_is_new_whoever_had_it() -> None:
    bloc = register(**FOR_WELD)
    for facts in (
        (registered(),),
        (registered(), closed()),
        (registered(person_id=BENO, certification_id="cqpm-fitter"),),
    ):
        given(*WORLD, needed(facts[0]), *facts[1:]).when(bloc).refused(
            RegistrationExists, "R9", 409, registration_id=REG_1
        )
    given(*OPEN, closed()).when(register(registration_id=REG_3)).then(CandidateRegistered)


def test_nobody_is_registered_in_the_future() -> None:
    given(*WORLD).when(register(registered_on="2024-06-15")).then(CandidateRegistered)
    given(*WORLD).when(register(registered_on="2024-06-16")).refused(
        DateOutOfRange, "R10", 422, registered_on="2024-06-16", until="2024-06-15"
    )


@pytest.mark.parametrize("family", ["CQPM", "CQPI", "CCPM", "CCPI"])
def test_the_family_is_the_certifications_and_bloc_for_blocs(family: str) -> None:
    facts = given(published(family=family, branches=["metallurgie", "plasturgie"]), *PERSONS)
    facts.when(register()).then(CandidateRegistered, family=family)
    facts.when(register(**FOR_READ)).then(CandidateRegistered, family="BLOC")


def test_the_branch_is_the_owners_unless_given() -> None:
    facts = given(published(family="CQPI", branches=["plasturgie", "metallurgie"]), *PERSONS)
    facts.when(register()).then(CandidateRegistered, branch="plasturgie")
    facts.when(register(branch="chimie")).then(CandidateRegistered, branch="chimie")


def test_what_is_not_said_is_absent() -> None:
    given(WELDER, *PERSONS).when(register()).then(
        CandidateRegistered, bloc_ids=None, region=None, organiser=None, prior_level=None
    )
