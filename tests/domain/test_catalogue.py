"""Certifications and objectives: C1-C8, O1."""

import pytest

from contracts.facts import CertificationPublished, CertificationWithdrawn
from contracts.problems import Malformed
from contracts.refusals import (
    CertificationInvalid,
    CertificationUnknown,
    CommonBlocChanged,
    DateOutOfRange,
    VersionOutOfOrder,
)
from contracts.refusals import CertificationWithdrawn as WithdrawnAlready
from tests.domain.harness import given, needed
from tests.domain.world import (
    CATALOGUE,
    FIT,
    FITTER,
    READ,
    WELD,
    WELDER,
    bloc,
    fiche,
    objective_set,
    publish,
    published,
    set_objective,
    withdraw,
    withdrawn,
)


def test_a_certification_is_published() -> None:
    given().when(publish(rncp=fiche(bloc_codes={"weld": "RNCP12345BC01"}))).then_exactly(
        published(rncp=fiche(bloc_codes={"weld": "RNCP12345BC01"}))
    )


@pytest.mark.parametrize("version", [2, 7])
def test_the_first_version_is_1(version: int) -> None:
    given().when(publish(version=version)).refused(VersionOutOfOrder, "C1", 409, version=version, expected=1)


def test_versions_follow_one_another() -> None:
    given(needed(WELDER), FITTER).when(publish(version=2)).then(CertificationPublished)
    for version in (1, 3):
        given(WELDER, FITTER).when(publish(version=version)).refused(
            VersionOutOfOrder, "C1", 409, certification_id="cqpm-welder", version=version, expected=2
        )


def test_a_version_has_a_bloc_and_each_bloc_a_competence() -> None:
    given().when(publish(blocs=[])).refused(CertificationInvalid, "C2", 422)
    given().when(publish(blocs=[WELD, bloc("read")])).refused(CertificationInvalid, "C2", 422, bloc_ids=["read"])
    given().when(publish(blocs=[bloc("weld", "cut")])).then(CertificationPublished)


def test_bloc_ids_are_unique_and_competence_ids_within_their_bloc() -> None:
    given().when(publish(blocs=[WELD, READ, WELD])).refused(CertificationInvalid, "C2", 422, bloc_ids=["weld"])
    given().when(publish(blocs=[bloc("weld", "cut", "join", "cut")])).refused(
        CertificationInvalid, "C2", 422, competence_ids=["cut"]
    )
    given().when(publish(blocs=[bloc("weld", "cut"), bloc("mill", "cut")])).then(CertificationPublished)


@pytest.mark.parametrize("family", ["CQPI", "CCPI"])
def test_an_interbranch_certification_names_at_least_two_branches(family: str) -> None:
    for branches in (["metallurgie"], ["metallurgie", "metallurgie"], []):
        given().when(publish(family=family, branches=branches)).refused(
            CertificationInvalid, "C3", 422, branches=branches
        )
    given().when(publish(family=family, branches=["metallurgie", "plasturgie"])).then(CertificationPublished)


@pytest.mark.parametrize("family", ["CQPM", "CCPM"])
def test_other_certifications_name_at_least_the_branch_that_owns_them(family: str) -> None:
    given().when(publish(family=family)).then(CertificationPublished, branches=["metallurgie"])
    given().when(publish(family=family, branches=[])).refused(Malformed, None, 400)


def test_no_version_is_effective_on_or_after_the_withdrawal() -> None:
    facts = given(WELDER, needed(withdrawn(effective_from="2024-02-01")))
    facts.when(publish(version=2, effective_from="2024-01-31")).then(CertificationPublished)
    for day in ("2024-02-01", "2024-02-02"):
        facts.when(publish(version=2, effective_from=day)).refused(
            WithdrawnAlready, "C4", 409, certification_id="cqpm-welder", withdrawn_from="2024-02-01", position=2
        )


def test_a_withdrawal_leaves_other_certifications_alone() -> None:
    given(WELDER, withdrawn()).when(publish(certification_id="cqpm-fitter", effective_from="2024-03-01")).then(
        CertificationPublished
    )


def test_a_bloc_keeps_its_competences_in_another_certification() -> None:
    given(needed(WELDER)).when(publish(certification_id="cqpm-mason", blocs=[bloc("read", "maps")])).refused(
        CommonBlocChanged, "C5", 409, bloc_id="read", competence_ids=["plans"]
    )
    given(WELDER).when(publish(certification_id="cqpm-mason", blocs=[READ])).then(CertificationPublished)


def test_a_bloc_keeps_its_competences_in_later_versions() -> None:
    more = bloc("weld", "cut", "join", "test")
    given(WELDER).when(publish(version=2, blocs=[more])).refused(
        CommonBlocChanged, "C5", 409, bloc_id="weld", competence_ids=["cut", "join"]
    )
    given(WELDER, published(version=2, blocs=[READ])).when(publish(version=3, blocs=[more])).refused(
        CommonBlocChanged, "C5", 409
    )
    given(WELDER).when(publish(version=2, blocs=[bloc("weld-2", "cut", "join", "test")])).then(CertificationPublished)


def test_the_order_of_competences_and_their_labels_may_change() -> None:
    swapped = bloc("weld", "join", "cut") | {"title": "Souder"}
    given(WELDER).when(publish(version=2, blocs=[swapped])).then(CertificationPublished)


@pytest.mark.parametrize(
    ("registered_from", "registered_until", "accepted"),
    [
        ("2020-01-01", "2020-01-01", False),
        ("2020-01-01", "2020-01-02", True),
        ("2020-01-01", "2025-01-01", True),
        ("2020-01-01", "2025-01-02", False),
        ("2020-02-29", "2025-02-28", True),
        ("2020-02-29", "2025-03-01", False),
        ("9994-06-01", "9999-06-01", True),
        ("9994-06-01", "9999-06-02", False),
        ("9996-01-01", "9999-12-31", True),
    ],
)
def test_a_fiche_lasts_from_a_day_to_five_years(registered_from: str, registered_until: str, accepted: bool) -> None:
    dated = fiche(registered_from=registered_from, registered_until=registered_until)
    decided = given().when(publish(rncp=dated))
    if accepted:
        decided.then(CertificationPublished)
    else:
        decided.refused(
            CertificationInvalid, "C6", 422, registered_from=registered_from, registered_until=registered_until
        )


@pytest.mark.parametrize("code", ["RNCP12345BC1", "RNCP12345BC001", "RNCP54321BC01", "BC01", "RNCP12345BC01\n"])
def test_a_bloc_code_is_the_fiche_code_and_bc_and_two_digits(code: str) -> None:
    given().when(publish(rncp=fiche(bloc_codes={"weld": code}))).refused(
        CertificationInvalid, "C6", 422, bloc_id="weld", code=code
    )


def test_a_bloc_code_names_a_bloc_of_the_version() -> None:
    given(FITTER).when(publish(rncp=fiche(bloc_codes={"fit": "RNCP12345BC01"}))).refused(
        CertificationInvalid, "C6", 422, bloc_id="fit"
    )
    given().when(publish(rncp=fiche(code="RS777", bloc_codes={"read": "RS777BC02"}))).then(CertificationPublished)


def test_a_version_is_not_effective_before_the_version_before() -> None:
    facts = given(published(effective_from="2020-05-01"))
    facts.when(publish(version=2, effective_from="2020-05-01")).then(CertificationPublished)
    facts.when(publish(version=2, effective_from="2020-04-30")).refused(
        DateOutOfRange, "C7", 422, effective_from="2020-04-30", since="2020-05-01"
    )


def test_only_what_was_published_is_withdrawn() -> None:
    given(FITTER).when(withdraw()).refused(CertificationUnknown, "C8", 422, certification_id="cqpm-welder")
    given(WELDER).when(withdraw()).then_exactly(withdrawn())


def test_a_certification_is_withdrawn_only_once() -> None:
    given(WELDER, needed(withdrawn())).when(withdraw(effective_from="2025-01-01")).refused(
        WithdrawnAlready, "C8", 409, certification_id="cqpm-welder", withdrawn_from="2024-02-01", position=2
    )


def test_a_replaced_certification_names_a_published_one() -> None:
    by_fitter = withdraw(reason="REPLACED", replaced_by="cqpm-fitter")
    given(WELDER, needed(FITTER)).when(by_fitter).then(CertificationWithdrawn)
    given(WELDER).when(by_fitter).refused(CertificationUnknown, "C8", 422, certification_id="cqpm-fitter")
    given(*CATALOGUE).when(withdraw(reason="REPLACED")).refused(CertificationUnknown, "C8", 422)


def test_a_suppressed_certification_is_replaced_by_nothing() -> None:
    given(*CATALOGUE).when(withdraw(replaced_by="cqpm-fitter")).refused(Malformed, None, 400)


def test_a_certification_may_be_all_of_another_ones_blocs() -> None:
    given(*CATALOGUE).when(publish(certification_id="cqpi-both", blocs=[WELD, READ, FIT])).then(CertificationPublished)


def test_any_objective_may_follow_another_of_the_same_year() -> None:
    given(objective_set(beneficiaries=25_000)).when(set_objective()).then_exactly(objective_set())
