"""The model against careers made by hand: rules P, M, R, K, T and J, each with its negative twin."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.model.model import Accepted, Refused
from tests.model.small_world import (
    TODAY,
    Post,
    award,
    blocs_candidate,
    branch,
    candidate,
    closing,
    correction,
    evaluation,
    invalidation,
    jury,
    outcomes,
    play,
    refusal,
    reopening,
    revocation,
    seat,
    uid,
    validation,
    whole_award,
    withdrawal,
)


def test_p1_the_person_is_known_and_neither_erased_nor_merged() -> None:
    model = branch()
    assert refusal(model, candidate(person="p9")) == {(422, "P1")}
    assert isinstance(model.merge(uid("p1"), uid("p2"), TODAY), Accepted)
    assert refusal(model, candidate(person="p2")) == {(409, "P1")}
    assert isinstance(model.erase(uid("p2"), TODAY), Accepted)  # that is p1
    assert refusal(model, candidate(person="p1")) == {(409, "P1")}
    assert model.erase(uid("p1"), TODAY) == Refused(frozenset({(410, None)}))


def test_p1_holds_not_for_undoing() -> None:
    number = play(model := branch(), *whole_award("r1"))["certificate_number"]
    model.erase(uid("p1"), TODAY)
    assert (409, "P1") in refusal(model, evaluation("e9"))
    play(model, revocation(number), invalidation("r1-bloc-a1"))


def test_m1_a_merged_person_is_another_name_of_the_kept_one() -> None:
    model = branch(candidate("r1", "p1"), candidate("r2", "p2"))  # R6 does not refuse a merge
    assert isinstance(model.merge(uid("p1"), uid("p2"), TODAY), Accepted)
    assert play(model, evaluation("e1", "r2"))["person_id"] == uid("p1")
    assert model.registration(uid("r2"))["person_id"] == uid("p1")
    assert model.competencies(uid("p2"), TODAY)["open_registrations"] == sorted([uid("r1"), uid("r2")])
    assert refusal(model, blocs_candidate("r3", "bloc-common", certification_id="cqpm-b")) == {(409, "R6")}


def test_m1_merges_only_two_different_known_persons_neither_erased_nor_merged() -> None:
    model = branch()
    assert model.merge(uid("p1"), uid("p1"), TODAY) == Refused(frozenset({(422, "M1")}))
    assert model.merge(uid("p1"), uid("p9"), TODAY) == Refused(frozenset({(422, "M1")}))
    model.merge(uid("p1"), uid("p2"), TODAY)
    assert model.merge(uid("p3"), uid("p2"), TODAY) == Refused(frozenset({(409, "M1")}))
    model.merge(uid("p3"), uid("p1"), TODAY)
    assert model.competencies(uid("p2"), TODAY)["person_id"] == uid("p3")


def test_m2_no_erasure_while_a_registration_is_open() -> None:
    model = branch(candidate())
    assert model.erase(uid("p1"), TODAY) == Refused(frozenset({(409, "M2")}))
    play(model, closing())
    assert isinstance(model.erase(uid("p1"), TODAY), Accepted)
    assert (409, "P1") in refusal(model, reopening())


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"certification_id": "cqpm-none"}, {(422, "R1")}),
        ({"registered_on": "2014-12-31"}, {(422, "R1")}),
        ({"version": 2}, {(422, "R1")}),
        ({"bloc_ids": ["bloc-a1"]}, {(422, "R3")}),
        ({"target": "BLOCS"}, {(422, "R3")}),
        ({"target": "BLOCS", "bloc_ids": []}, {(422, "R3")}),
        ({"target": "BLOCS", "bloc_ids": ["bloc-a1", "bloc-a1"]}, {(422, "R3")}),
        ({"target": "BLOCS", "bloc_ids": ["bloc-a3"]}, {(422, "R3")}),  # of version 2
        ({"route": "CONTRAT_PRO"}, {(422, "R5")}),
        ({"registered_on": "2020-12-31", "route": "CONTRAT_PRO"}, {(422, "R5")}),
        ({"registered_on": "2026-11-24"}, {(422, "R10")}),
    ],
)
def test_r1_to_r10_refuse(changes: dict[str, Any], reasons: set[tuple[int, str]]) -> None:
    assert refusal(branch(), candidate(**changes)) == reasons


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"registered_on": "2020-12-31", "version": 1}, 1),
        ({"registered_on": "2021-01-01"}, 2),
        ({"registered_on": "2015-12-31", "route": "CONTRAT_PRO"}, 1),  # the fiche begins the next day
        ({"registered_on": "2026-11-23"}, 2),
    ],
)
def test_r1_to_r10_accept_at_the_limits(changes: dict[str, Any], version: int) -> None:
    assert play(branch(), candidate(**changes))["version"] == version


def test_r2_none_is_registered_from_the_withdrawal_on() -> None:
    model = branch(withdrawal("cqpm-a", effective_from="2018-03-01"))
    assert refusal(model, candidate(registered_on="2018-03-01")) == {(422, "R2")}
    play(model, candidate(registered_on="2018-02-28"))


def test_r6_no_other_open_registration_with_a_bloc_in_common_or_for_the_same_certification() -> None:
    model = branch(blocs_candidate("r1", "bloc-a1"))
    assert refusal(model, candidate("r2")) == {(409, "R6")}
    assert refusal(model, blocs_candidate("r2", "bloc-a1")) == {(409, "R6")}
    play(model, blocs_candidate("r2", "bloc-common"))
    assert refusal(model, candidate("r3", certification_id="cqpm-b")) == {(409, "R6")}  # a common bloc
    play(model, closing("r2"), candidate("r3", certification_id="cqpm-b"), candidate("r4", "p2"))
    assert refusal(model, blocs_candidate("r5", "bloc-b1", certification_id="cqpm-b")) == {(409, "R6")}


def test_r7_who_holds_the_certificate_does_not_sit_again() -> None:
    number = play(model := branch(), *whole_award("r1"))["certificate_number"]
    assert refusal(model, candidate("r2", registered_on="2025-01-01")) == {(409, "R7")}
    play(model, revocation(number), candidate("r2", registered_on="2025-01-01"))


def test_r7_who_holds_a_usable_bloc_does_not_sit_for_it() -> None:
    first = [blocs_candidate("r1", "bloc-common"), evaluation("e1", "r1", "bloc-common")]
    model = branch(*first, validation("v1", "r1", "bloc-common"), closing("r1"))
    again: Callable[..., Post] = lambda on: blocs_candidate(  # noqa: E731
        "r2", "bloc-b1", "bloc-common", certification_id="cqpm-b", registered_on=on
    )
    assert refusal(model, again("2018-05-01")) == {(409, "R7")}
    assert refusal(model, again("2023-05-01")) == {(409, "R7")}  # the last day
    play(model, again("2023-05-02"))


def test_r7_looks_only_at_what_is_usable_on_the_day() -> None:
    first = [blocs_candidate("r1", "bloc-a1"), evaluation("e1"), validation("v1"), closing("r1")]
    play(branch(*first), blocs_candidate("r2", "bloc-a1", registered_on="2018-04-30"))


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        ("SALARIE", "SALARIE"),
        ("ALTERNANT", "SALARIE"),
        ("INTERIMAIRE", "SALARIE"),
        ("DEMANDEUR_EMPLOI", "DEMANDEUR_EMPLOI"),
        ("INDEPENDANT", "AUTRE"),
        ("AUTRE", "AUTRE"),
    ],
)
def test_r8_reporting_status(status: str, reported: str) -> None:
    assert play(branch(), candidate(status=status))["reporting_status"] == reported


def test_r9_a_registration_id_is_used_once() -> None:
    model = branch(candidate(), closing())
    assert refusal(model, candidate()) == {(409, "R9")}


def test_r11_family_and_the_owners_branch() -> None:
    model = branch()
    recorded = play(model, candidate("r1", certification_id="cqpi-c"))
    assert (recorded["family"], recorded["branch"]) == ("CQPI", "plasturgie")
    recorded = play(model, blocs_candidate("r2", "bloc-a1", branch="chimie"))
    assert (recorded["family"], recorded["branch"]) == ("BLOC", "chimie")


def test_k1_only_an_open_registration_closes() -> None:
    model = branch()
    assert refusal(model, closing()) == {(422, "K1")}
    play(model, candidate(), evaluation(), validation())
    assert refusal(model, closing(reason="CANCELLED")) == {(409, "K1")}
    play(model, invalidation(), closing(reason="CANCELLED"))
    assert refusal(model, closing()) == {(409, "K1")}


def test_k2_only_a_closed_or_revoked_registration_reopens() -> None:
    model = branch(candidate())
    assert refusal(model, reopening("none")) == {(422, "K2")}
    assert refusal(model, reopening()) == {(409, "K2")}
    play(model, closing(), reopening())
    assert refusal(model, reopening()) == {(409, "K2")}
    number = play(model, *whole_award("r1")[1:])["certificate_number"]
    assert (409, "K2") in refusal(model, reopening())
    play(model, revocation(number))
    assert model.registration(uid("r1"))["state"] == "REVOKED"
    play(model, reopening())
    assert model.registration(uid("r1"))["state"] == "OPEN"


def test_k2_r6_and_r7_hold_again_its_own_validations_aside() -> None:
    model = branch(blocs_candidate("r1", "bloc-a1"), evaluation(), validation(), closing())
    play(model, reopening(), closing())
    play(model, blocs_candidate("r2", "bloc-a1", registered_on="2018-01-10"))
    assert (409, "R6") in refusal(model, reopening())
    play(model, closing("r2"))
    play(
        model, invalidation(decided_on="2018-05-01"), reopening("r2"), evaluation("e2", "r2", evaluated_on="2018-02-01")
    )
    play(model, validation("v2", "r2", validated_on="2018-02-02"), award("r2", awarded_on="2018-02-03"))
    assert (409, "R7") in refusal(model, reopening())


def test_t1_dates_of_what_is_said_about_something() -> None:
    model = branch(candidate())
    assert refusal(model, closing(closed_on="2018-02-28")) == {(422, "T1")}
    assert refusal(model, closing(closed_on="2026-11-24")) == {(422, "T1")}
    play(model, closing(closed_on="2018-03-01"))
    assert refusal(model, reopening(reopened_on="2018-02-28")) == {(422, "T1")}
    play(model, reopening(reopened_on="2018-03-01"), evaluation())
    assert refusal(model, correction(corrected_on="2018-03-31")) == {(422, "T1")}
    play(model, correction(corrected_on="2018-04-01", outcomes=outcomes("bloc-a1", "ACQUIRED")), validation())
    assert refusal(model, invalidation(decided_on="2018-04-30")) == {(422, "T1")}
    assert refusal(model, jury(held_on="2026-11-24")) == {(422, "T1")}
    number = play(model := branch(), *whole_award("r1"))["certificate_number"]
    assert refusal(model, revocation(number, decided_on="2018-05-14")) == {(422, "T1")}
    play(model, revocation(number, decided_on="2018-05-15"))
    assert refusal(model, reopening(reopened_on="2018-05-14")) == {(422, "T1")}
    play(model, reopening(reopened_on="2018-05-15"))


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"seats": [seat("s2", "EMPLOYEURS")]}, {(422, "J1")}),
        ({"seats": []}, {(422, "J1")}),
        ({"president_seat_id": "s1"}, {(422, "J1")}),
        ({"seats": [seat("s1", "SALARIES"), seat("s2", "EMPLOYEURS", present=False)]}, {(422, "J1")}),
        ({"invited_on": "2018-05-01"}, {(422, "J2")}),
        ({"jury_id": uid("j0")}, {(409, "J3")}),
    ],
)
def test_j1_to_j3_refuse(changes: dict[str, Any], reasons: set[tuple[int, str]]) -> None:
    assert refusal(branch(jury("j0")), jury(**changes)) == reasons


def test_j3_a_fact_that_names_a_jury_has_its_date() -> None:
    model = branch(jury(), candidate(), evaluation())
    named = {"jury_id": uid("j1")}
    assert refusal(model, validation(**named)) == {(422, "J3")}
    assert refusal(model, closing(jury_id=uid("none"))) == {(422, "J3")}
    play(model, validation(**named, validated_on="2018-05-15"), closing(**named))
