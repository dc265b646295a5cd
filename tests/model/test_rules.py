"""The model against careers made by hand: each rule with its negative twin."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tests.model.award_rules import check_character, made_number
from tests.model.model import Accepted, Model, Refused
from tests.model.small_world import (
    CATALOGUE,
    FICHE,
    GONE,
    PARTIAL,
    TODAY,
    TOTAL,
    Post,
    award,
    bloc,
    blocs_candidate,
    branch,
    candidate,
    changed,
    closing,
    correction,
    evaluation,
    invalidation,
    jury,
    outcomes,
    play,
    reopening,
    revocation,
    seat,
    uid,
    validation,
    whole_award,
)
from tests.model.world import later


def refusal(model: Model, post: Post, today: date = TODAY) -> set[tuple[int, str | None]]:
    """Why the post is refused; nothing is recorded."""
    before = len(model.world.log)
    result = model.post(f"certibranche.{post[0]}.v1", post[1], today)
    assert isinstance(result, Refused), result
    assert len(model.world.log) == before
    return set(result.reasons)


def publication(**changes: Any) -> Post:
    """A certification of its own."""
    data = {
        "certification_id": "cqpm-new",
        "version": 1,
        "family": "CQPM",
        "title": "Title",
        "effective_from": "2018-01-01",
        "blocs": [bloc("bloc-new")],
    }
    return "certification.published", changed(data, changes)


def withdrawal(certification_id: str = "cqpm-b", **changes: Any) -> Post:
    data = {"certification_id": certification_id, "effective_from": "2018-01-01", "reason": "SUPPRESSED"}
    return "certification.withdrawn", changed(data, changes)


def equivalence(data: dict[str, Any], **changes: Any) -> Post:
    return "equivalence.recognised", changed(data | {"equivalence_id": uid("new")}, changes)


def repeal(name: str = "partial", **changes: Any) -> Post:
    data = {"equivalence_id": uid(name), "effective_from": "2018-06-01"}
    return "equivalence.repealed", changed(data, changes)


def side(certification_id: str, *bloc_ids: str) -> dict[str, Any]:
    return {"certification_id": certification_id, "bloc_ids": list(bloc_ids)}


# forms


@pytest.mark.parametrize(
    "post",
    [
        candidate(person_id="P1"),
        candidate(person_id=uid("p1").upper()),
        candidate(route="RADIO"),
        candidate(registered_on="2018-02-30"),
        candidate(registered_on="2018-3-1"),
        candidate(registered_on=GONE),
        candidate(region="2A"),
        candidate(region=None),
        candidate(prior_level=9),
        candidate(prior_level=True),
        candidate(family="CQPM"),
        candidate(unknown=1),
        evaluation(outcomes=[]),
        evaluation(evaluators=[]),
        publication(version=0),
        publication(rncp=FICHE | {"code": "RNCP"}),
        ("person.registered", {"person_id": uid("p9")}),
        ("candidate.unknown", {}),
    ],
)
def test_what_has_not_the_form_is_malformed(post: Post) -> None:
    assert refusal(branch(), post) == {(400, None)}


def test_the_type_is_written_out() -> None:
    model = branch()
    for type_ in ("candidate.registered", "certibranche.candidate.registered", "certibranche.candidate.registered.v2"):
        assert model.post(type_, candidate()[1], TODAY) == Refused(frozenset({(400, None)}))


def test_defaults_are_written_out() -> None:
    fiche = {name: value for name, value in FICHE.items() if name not in {"routes", "bloc_codes"}}
    recorded = play(branch(), publication(rncp=fiche))
    assert recorded["branches"] == ["metallurgie"]
    assert recorded["rome"] == []
    assert recorded["rncp"] == fiche | {"routes": [], "bloc_codes": {}}


@pytest.mark.parametrize(
    ("post", "rule"),
    [
        (withdrawal(replaced_by="cqpm-a"), "C8"),
        (withdrawal(reason="REPLACED"), "C8"),
        (closing(reason="ABSENT", jury_id=uid("j1")), "J3"),
        (validation(equivalence_id=uid("partial")), "B3"),
        (validation(basis="EQUIVALENCE"), "B3"),
        (validation(source_validation_id=uid("v0")), "B4"),
        (validation(basis="CARRIED_OVER"), "B4"),
        (validation(decision_ref="PV 12"), "B9"),
    ],
)
def test_a_member_that_belongs_to_another_value_is_refused_by_form_or_rule(post: Post, rule: str) -> None:
    model = branch(candidate(), evaluation())
    assert {(400, None), (422, rule)} <= refusal(model, post)


# I1


def test_i1_the_same_content_answers_the_first_receipt_and_other_content_conflicts() -> None:
    model = branch()
    (name, data), other = candidate(), candidate(status="ALTERNANT")[1]
    first = model.post(f"certibranche.{name}.v1", data, TODAY, id_="1")
    again = model.post(f"certibranche.{name}.v1", dict(reversed(data.items())), TODAY, id_="1")
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.data, again.position, again.new) == (first.data, first.position, False)
    assert model.post(f"certibranche.{name}.v1", other, TODAY, id_="1") == Refused(frozenset({(409, "I1")}))
    assert model.post(f"certibranche.{name}.v1", data, TODAY, id_="2") != again


def test_i1_a_refusal_leaves_the_id_free() -> None:
    model = branch()
    name, data = candidate()
    assert isinstance(model.post(f"certibranche.{name}.v1", data | {"version": 7}, TODAY, id_="1"), Refused)
    assert isinstance(model.post(f"certibranche.{name}.v1", data, TODAY, id_="1"), Accepted)


# the catalogue


@pytest.mark.parametrize(
    ("post", "reasons"),
    [
        (publication(version=2), {(409, "C1")}),
        (publication(certification_id="cqpm-b"), {(409, "C1")}),
        (publication(blocs=[]), {(422, "C2")}),
        (publication(blocs=[bloc("bloc-new", competences=0)]), {(422, "C2")}),
        (publication(blocs=[bloc("bloc-new"), bloc("bloc-new")]), {(422, "C2")}),
        (publication(family="CQPI"), {(422, "C3")}),
        (publication(family="CCPI", branches=["plasturgie", "plasturgie"]), {(422, "C3")}),
        (publication(branches=[]), {(400, None), (422, "C3")}),
        (publication(blocs=[bloc("bloc-common", competences=3)]), {(409, "C5")}),
        (publication(rncp=FICHE | {"bloc_codes": {}, "registered_until": "2021-01-02"}), {(422, "C6")}),
        (publication(rncp=FICHE | {"bloc_codes": {}, "registered_until": "2016-01-01"}), {(422, "C6")}),
        (publication(rncp=FICHE), {(422, "C6")}),  # its code names bloc-a1
        (publication(rncp=FICHE | {"bloc_codes": {"bloc-new": "RNCP100BC1"}}), {(422, "C6")}),
        (publication(certification_id="cqpm-b", version=2, effective_from="2014-12-31"), {(422, "C7")}),
        (publication(version=2, blocs=[], family="CQPI"), {(409, "C1"), (422, "C2"), (422, "C3")}),
    ],
)
def test_c1_to_c7_refuse(post: Post, reasons: set[tuple[int, str]]) -> None:
    assert refusal(branch(), post) == reasons


@pytest.mark.parametrize(
    "post",
    [
        publication(blocs=[bloc("bloc-common")]),
        publication(family="CQPI", branches=["metallurgie", "plasturgie"]),
        publication(rncp=FICHE | {"bloc_codes": {}, "registered_until": "2021-01-01"}),
        publication(rncp=FICHE | {"bloc_codes": {"bloc-new": "RNCP100BC01"}}),
        publication(certification_id="cqpm-b", version=2, effective_from="2015-01-01"),
    ],
)
def test_c1_to_c7_accept(post: Post) -> None:
    play(branch(), post)


def test_c4_no_version_from_the_withdrawal_on() -> None:
    model = branch(withdrawal("cqpm-b", effective_from="2018-01-01"))
    assert refusal(model, publication(certification_id="cqpm-b", version=2)) == {(409, "C4")}
    play(model, publication(certification_id="cqpm-b", version=2, effective_from="2017-12-31"))


def test_c8_withdraw_what_was_published_once_and_name_what_replaces_it() -> None:
    model = branch()
    assert refusal(model, withdrawal("cqpm-none")) == {(422, "C8")}
    assert refusal(model, withdrawal(reason="REPLACED", replaced_by="cqpm-none")) == {(422, "C8")}
    play(model, withdrawal(reason="REPLACED", replaced_by="cqpm-a"))
    assert refusal(model, withdrawal()) == {(409, "C8")}


@pytest.mark.parametrize(
    ("post", "reasons"),
    [
        (equivalence(TOTAL, source=side("cqpm-none")), {(422, "E1")}),
        (equivalence(TOTAL, source=side("cqpi-c")), {(422, "E1")}),
        (equivalence(TOTAL, source=side("cqpm-a", "bloc-a1")), {(422, "E2")}),
        (equivalence(TOTAL, source=side("cqpm-b")), {(422, "E2")}),  # no level against 4
        (equivalence(PARTIAL, target=side("cqpm-b")), {(422, "E3")}),
        (equivalence(PARTIAL, target=side("cqpm-b", "bloc-a1")), {(422, "E3")}),
        (
            equivalence(PARTIAL, source=side("cqpm-a", "bloc-common"), target=side("cqpm-b", "bloc-common")),
            {(422, "E3")},
        ),
        (equivalence(PARTIAL, equivalence_id=uid("partial")), {(409, "E4")}),
        (repeal("none"), {(422, "E4")}),
    ],
)
def test_e1_to_e4_refuse(post: Post, reasons: set[tuple[int, str]]) -> None:
    assert refusal(branch(), post) == reasons


def test_e1_to_e4_accept() -> None:
    model = branch(
        equivalence(TOTAL, source=side("cqpm-b"), target=side("ccpm-d")),  # none equals none
        equivalence(
            PARTIAL, source=side("cqpm-a", "bloc-a2"), target=side("cqpm-a", "bloc-a3"), equivalence_id=uid("x")
        ),
        repeal(),
    )
    assert refusal(model, repeal()) == {(409, "E4")}


def test_o1_the_last_objective_counts() -> None:
    model = branch()
    assert model.counts(2023)["objective"] is None
    play(model, ("objective.set", {"year": 2023, "beneficiaries": 10}))
    play(model, ("objective.set", {"year": 2023, "beneficiaries": 30_000}))
    assert model.counts(2023)["objective"] == {"beneficiaries": 30_000, "progress": 0.0}


# persons


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


# registrations


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


# evaluations


def test_v1_to_v5_refuse() -> None:
    model = branch(blocs_candidate("r1", "bloc-a1"), evaluation())
    assert refusal(model, evaluation("e2", "none")) == {(422, "V1")}
    assert refusal(model, evaluation("e2", bloc_id="bloc-a2")) == {(422, "V2")}
    assert refusal(model, evaluation("e2", outcomes=outcomes("bloc-a2", "ACQUIRED"))) == {(422, "V3")}
    assert refusal(model, evaluation("e2", outcomes=outcomes("bloc-a1", "ACQUIRED") * 2)) == {(422, "V3")}
    assert refusal(model, evaluation("e2", evaluated_on="2018-02-28")) == {(422, "V4")}
    assert refusal(model, evaluation("e2", evaluated_on="2026-11-24")) == {(422, "V4")}
    assert refusal(model, evaluation("e1")) == {(409, "V5")}
    assert refusal(model, correction("none")) == {(422, "V5")}
    assert refusal(model, correction(outcomes=outcomes("bloc-a2", "ACQUIRED"))) == {(422, "V3")}
    play(model, evaluation("e2", evaluated_on="2018-03-01"), evaluation("e3", evaluated_on="2026-11-23"), closing())
    assert refusal(model, evaluation("e4")) == {(409, "V1")}


def outcome(model: Model) -> list[str | None]:
    return [competence["outcome"] for competence in model.registration(uid("r1"))["blocs"][0]["competences"]]


def test_v6_the_latest_evaluation_decides_and_corrections_replace_in_theirs() -> None:
    model = branch(candidate())
    assert outcome(model) == [None, None]
    play(model, evaluation("e1", outcomes=outcomes("bloc-a1", "ACQUIRED", "ABSENT"), evaluated_on="2018-04-02"))
    play(
        model, evaluation("e2", outcomes=outcomes("bloc-a1", "NOT_ACQUIRED", "NOT_ACQUIRED"), evaluated_on="2018-04-01")
    )
    assert outcome(model) == ["ACQUIRED", "ABSENT"]
    play(model, evaluation("e3", outcomes=outcomes("bloc-a1", "NOT_ACQUIRED"), evaluated_on="2018-04-02"))
    assert outcome(model) == ["NOT_ACQUIRED", "ABSENT"]
    play(model, correction("e1", outcomes=outcomes("bloc-a1", "ACQUIRED", "ACQUIRED")))
    assert outcome(model) == ["NOT_ACQUIRED", "ACQUIRED"]  # e3 still has the later position


def test_v7_no_evaluation_or_correction_of_a_validated_bloc() -> None:
    model = branch(candidate(), evaluation(), validation())
    assert refusal(model, evaluation("e2")) == {(409, "V7")}
    assert refusal(model, correction()) == {(409, "V7")}
    play(model, invalidation(), correction())


# juries


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


# blocs


def test_b1_an_open_registration_a_bloc_of_its_target_not_yet_validated() -> None:
    model = branch(blocs_candidate("r1", "bloc-a1"), evaluation())
    assert refusal(model, validation(registration="none")) == {(422, "B1")}
    assert (422, "B1") in refusal(model, validation(bloc_id="bloc-a2"))
    play(model, validation())
    assert refusal(model, validation("v2")) == {(409, "B1")}
    play(model, invalidation(), validation("v2"), closing(), invalidation("v2"))
    assert refusal(model, validation("v3")) == {(409, "B1")}


def test_b2_every_competence_is_acquired() -> None:
    model = branch(candidate())
    assert refusal(model, validation()) == {(422, "B2")}
    play(model, evaluation(outcomes=outcomes("bloc-a1", "ACQUIRED", "ABSENT")))
    assert refusal(model, validation()) == {(422, "B2")}
    play(model, correction(outcomes=outcomes("bloc-a1", "ACQUIRED", "ACQUIRED")), validation())


def test_b2_what_was_acquired_in_a_failure_counts_for_24_months() -> None:
    acquired = evaluation("e1", outcomes=outcomes("bloc-a1", "ACQUIRED", "NOT_ACQUIRED"))
    model = branch(candidate("r1"), acquired, closing("r1"), candidate("r2", registered_on="2018-06-01"))
    second = [{"competence_id": "bloc-a1-c2", "outcome": "ACQUIRED"}]
    play(model, evaluation("e2", "r2", outcomes=second, evaluated_on="2018-07-01"))
    assert refusal(model, validation("v2", "r2", validated_on="2020-05-16")) == {(422, "B2")}
    play(model, validation("v2", "r2", validated_on="2020-05-15"))


@pytest.mark.parametrize(
    ("reason", "found"), [("WITHDRAWN", None), ("ABSENT", None), ("FAILED", "NOT_ACQUIRED"), ("FAILED", "ABSENT")]
)
def test_b2_only_a_failure_counts_and_only_without_an_outcome_here(reason: str, found: str | None) -> None:
    model = branch(candidate("r1"), evaluation("e1"), closing("r1", reason=reason))
    play(model, candidate("r2", registered_on="2018-06-01"))
    if found:
        play(model, evaluation("e2", "r2", outcomes=outcomes("bloc-a1", found), evaluated_on="2018-07-01"))
    assert refusal(model, validation("v2", "r2", validated_on="2018-07-02")) == {(422, "B2")}


def holder(*blocs: str) -> Model:
    """p1 holds these blocs of cqpm-a, validated on 2018-05-01 in r1, closed as failed."""
    evaluations = [evaluation(f"e-{bloc_id}", "r1", bloc_id) for bloc_id in blocs]
    validations = [validation(f"v-{bloc_id}", "r1", bloc_id) for bloc_id in blocs]
    return branch(candidate(), *evaluations, *validations, closing())


def recognised(name: str = "partial", bloc_id: str = "bloc-b1", on: str = "2018-07-01", **changes: Any) -> Post:
    changes = {"basis": "EQUIVALENCE", "equivalence_id": uid(name), "validated_on": on} | changes
    return validation("v9", "r9", bloc_id, **changes)


def test_b3_partial_every_source_bloc_is_held() -> None:
    second = candidate("r9", certification_id="cqpm-b", registered_on="2018-06-01")
    model = holder("bloc-a1")
    play(model, second)
    assert refusal(model, recognised()) == {(422, "B3")}
    model = holder("bloc-a1", "bloc-a2")
    play(model, second)
    assert refusal(model, recognised("none")) == {(422, "B3")}
    assert refusal(model, recognised(bloc_id="bloc-common")) == {(422, "B3")}
    assert refusal(model, recognised(on="2023-01-01")) == {(422, "B3")}  # the equivalence has ended
    assert play(model, recognised(on="2022-12-31"))["usable_until"] == "2023-05-01"  # B5: the sources' limit


def test_b3_a_repealed_equivalence_holds_until_the_day_before() -> None:
    model = holder("bloc-a1", "bloc-a2")
    play(model, candidate("r9", certification_id="cqpm-b", registered_on="2018-05-20"), repeal())
    assert refusal(model, recognised(on="2018-06-01")) == {(422, "B3")}
    play(model, recognised(on="2018-05-31"))


def test_b3_b5_a_source_held_by_certificate_only_counts_as_new() -> None:
    model = branch(*whole_award("r1"), candidate("r9", certification_id="cqpm-b", registered_on="2022-01-01"))
    play(model, equivalence(PARTIAL, valid_until=GONE))
    recorded = play(model, recognised("new", on="2024-02-29"))  # the blocs were usable until 2023-05-01
    assert recorded["usable_until"] == "2026-02-28"  # + 24 months: cqpm-b has no fiche


def test_b3_total_needs_a_live_certificate_of_the_source() -> None:
    model = holder("bloc-a1", "bloc-a2")
    play(model, candidate("r9", certification_id="cqpi-c", registered_on="2018-05-10"))
    assert refusal(model, recognised("total", "bloc-c1")) == {(422, "B3")}
    number = play(model, *whole_award("r2", awarded_on="2018-05-15"))["certificate_number"]
    assert refusal(model, recognised("total", "bloc-c1", on="2018-05-14")) == {(422, "B3")}
    recorded = play(model, recognised("total", "bloc-c1", on="2018-05-15"))
    assert recorded["usable_until"] == "2023-05-15"  # + 5 years: its fiche was in force
    play(model, invalidation("v9"), revocation(number))
    assert refusal(model, recognised("total", "bloc-c1", validation_id=uid("v10"))) == {(422, "B3")}


def carried(source: str, on: str = "2018-07-01", **changes: Any) -> Post:
    changes = {"basis": "CARRIED_OVER", "source_validation_id": uid(source), "validated_on": on} | changes
    return validation("v9", "r9", "bloc-common", **changes)


def test_b4_b5_a_carried_bloc_keeps_its_sources_limit() -> None:
    model = holder("bloc-common", "bloc-a1")
    play(model, candidate("r9", certification_id="cqpm-b", registered_on="2018-04-01"))
    assert refusal(model, carried("none")) == {(422, "B4")}
    assert refusal(model, carried("v-bloc-a1")) == {(422, "B4")}
    assert refusal(model, carried("v-bloc-common", on="2018-04-30")) == {(422, "B4")}  # before it was validated
    assert refusal(model, carried("v-bloc-common", on="2023-05-02")) == {(422, "B4")}
    assert play(model, carried("v-bloc-common", on="2023-05-01"))["usable_until"] == "2023-05-01"


def test_b4_the_source_is_live_and_the_same_persons() -> None:
    model = holder("bloc-common")
    play(model, candidate("r9", "p2", certification_id="cqpm-b"))
    assert refusal(model, carried("v-bloc-common")) == {(422, "B4")}
    model.merge(uid("p2"), uid("p1"), TODAY)
    play(model, carried("v-bloc-common"), invalidation("v9", decided_on="2018-07-01"), invalidation("v-bloc-common"))
    assert refusal(model, carried("v-bloc-common", validation_id=uid("v10"))) == {(422, "B4")}


def test_b4_a_component_of_a_live_certificate_may_be_carried_for_ever() -> None:
    model = branch(*whole_award("r1"), candidate("r9", certification_id="cqpm-b", registered_on="2025-01-01"))
    recorded = play(model, carried("r1-bloc-common", on="2025-02-01"))
    assert recorded["usable_until"] == "2027-02-01"  # counts as + 24 months


@pytest.mark.parametrize(
    ("certification_id", "bloc_id", "registered_on", "validated_on", "usable_until"),
    [
        ("cqpi-c", "bloc-c1", "2018-03-01", "2018-04-01", "2023-04-01"),
        ("cqpi-c", "bloc-c1", "2019-02-28", "2020-02-29", "2025-02-28"),  # in force at registered_on; leap day
        ("cqpi-c", "bloc-c1", "2019-03-01", "2020-02-29", "2022-02-28"),  # the day after the fiche
        ("cqpi-c", "bloc-c1", "2016-12-31", "2017-01-01", "2022-01-01"),  # in force at validated_on
        ("ccpm-d", "bloc-d1", "2018-03-01", "2018-04-01", "2020-04-01"),
    ],
)
def test_b5_five_years_with_a_fiche_else_24_months(
    certification_id: str, bloc_id: str, registered_on: str, validated_on: str, usable_until: str
) -> None:
    model = branch(candidate(certification_id=certification_id, registered_on=registered_on))
    play(model, evaluation(bloc_id=bloc_id, evaluated_on=validated_on))
    assert play(model, validation(bloc_id=bloc_id, validated_on=validated_on))["usable_until"] == usable_until


def test_b5_partial_takes_the_earliest_of_the_latest_limits() -> None:
    sources = [validation("old", "r1", "bloc-a1"), validation("other", "r1", "bloc-a2", validated_on="2018-05-03")]
    model = branch(candidate(), *(evaluation(f"e-{b}", "r1", b) for b in ("bloc-a1", "bloc-a2")), *sources, closing())
    play(model, blocs_candidate("r2", "bloc-a1", registered_on="2018-04-01"), evaluation("e2", "r2"))
    play(model, validation("newer", "r2", validated_on="2018-05-02"))
    play(model, candidate("r9", certification_id="cqpm-b"))
    assert play(model, recognised())["usable_until"] == "2023-05-02"


def test_b6_a_validation_comes_after_the_evaluations_of_its_bloc_and_not_in_the_future() -> None:
    model = branch(candidate(), evaluation(evaluated_on="2018-05-01"), evaluation("e2", bloc_id="bloc-a2"))
    assert refusal(model, validation(validated_on="2018-04-30")) == {(422, "B6")}
    assert refusal(model, validation(validated_on="2026-11-24")) == {(422, "B6")}
    play(model, validation(validated_on="2018-05-01"))
    model = holder("bloc-common")
    play(model, candidate("r9", certification_id="cqpm-b", registered_on="2018-07-01"))
    assert refusal(model, carried("v-bloc-common", on="2018-06-30")) == {(422, "B6")}


def test_b7_a_validation_id_is_used_once() -> None:
    model = branch(candidate(), evaluation(), validation(), evaluation("e2", bloc_id="bloc-a2"))
    assert refusal(model, validation(bloc_id="bloc-a2")) == {(409, "B7")}


def test_b8_invalidate_once_and_not_while_a_live_certificate_names_it() -> None:
    number = play(model := branch(), *whole_award("r1"))["certificate_number"]
    assert refusal(model, invalidation("none")) == {(422, "B8")}
    assert refusal(model, invalidation("r1-bloc-a1")) == {(409, "B8")}
    play(model, revocation(number), invalidation("r1-bloc-a1"))
    assert refusal(model, invalidation("r1-bloc-a1")) == {(409, "B8")}


def test_b8_undoing_does_not_spread() -> None:
    model = holder("bloc-common")
    play(model, candidate("r9", certification_id="cqpm-b"), carried("v-bloc-common"), invalidation("v-bloc-common"))
    assert [row["validation_id"] for row in model.competencies(uid("p1"), TODAY)["blocs"]] == [uid("v9")]


def test_b9_the_archive_ends_before_the_day_of_position_1() -> None:
    model = branch(candidate(registered_on="2016-03-01"))
    archived: Callable[..., Post] = lambda **changes: validation(  # noqa: E731
        **{"basis": "ARCHIVE", "decision_ref": "PV 12", "validated_on": "2017-01-01"} | changes
    )
    assert refusal(model, archived(decision_ref=GONE)) == {(422, "B9")}
    assert refusal(model, archived(validated_on="2017-01-02")) == {(422, "B9")}
    assert play(model, archived())["usable_until"] == "2022-01-01"


# certificates


def test_a1_a2_every_bloc_is_validated_and_usable() -> None:
    model = branch()
    assert refusal(model, award("none")) == {(422, "A1")}
    *career, last = whole_award("r1")
    play(model, *career[:-1])
    assert refusal(model, last) == {(422, "A2")}
    play(model, career[-1])
    assert refusal(model, award(awarded_on="2023-05-02")) == {(422, "A2")}
    play(model, award(awarded_on="2023-05-01"))
    assert refusal(model, award()) == {(409, "A1")}


def test_a2_kind_blocs_needs_the_blocs_of_its_target() -> None:
    model = branch(blocs_candidate("r1", "bloc-common", "bloc-a1", region="11"), evaluation(), validation())
    assert refusal(model, award()) == {(422, "A2")}
    recorded = play(model, evaluation("e2", "r1", "bloc-common"), validation("v2", "r1", "bloc-common"), award())
    assert recorded["kind"] == "BLOCS"
    assert recorded["family"] == "BLOC"
    assert "level" not in recorded
    assert recorded["rncp_code"] == "RNCP100"
    assert recorded["region"] == "11"
    assert [part["bloc_id"] for part in recorded["components"]] == ["bloc-a1", "bloc-common"]  # the version's order


def test_a3_an_award_comes_after_its_components_and_not_in_the_future() -> None:
    model = branch(*whole_award("r1")[:-1])
    assert refusal(model, award(awarded_on="2018-04-30")) == {(422, "A2"), (422, "A3")}
    assert (422, "A3") in refusal(model, award(awarded_on="2026-11-24"))
    play(model, award(awarded_on="2018-05-01"))


def test_a4_numbers_are_unique_without_case_for_ever() -> None:
    number = play(model := branch(), *whole_award("r1", certificate_number="Demo-1"))["certificate_number"]
    play(model, revocation("DEMO-1"))
    *career, last = whole_award("r2", "p2", certificate_number="dEMO-1")
    play(model, *career)
    assert number == "Demo-1"
    assert refusal(model, last) == {(409, "A4")}


def test_a4_made_numbers_end_in_their_check_character() -> None:
    assert check_character("A12425GABC1234002") == "M"  # the example of the GRid standard, which uses MOD 37,36
    family, year, random, check = made_number("CQPM", "2018-05-15").split("-")
    assert (family, year, len(random)) == ("CQPM", "2018", 8)
    assert check == check_character(family + year + random)


def test_a5_revoke_a_known_one_once() -> None:
    number = play(model := branch(), *whole_award("r1"))["certificate_number"]
    assert refusal(model, revocation("none-1")) == {(422, "A5")}
    play(model, revocation(number.lower()))
    assert refusal(model, revocation(number)) == {(409, "A5")}


def test_a_revoked_registration_may_be_awarded_again_once_reopened() -> None:
    number = play(model := branch(), *whole_award("r1"))["certificate_number"]
    play(model, revocation(number))
    assert refusal(model, award()) == {(409, "A1")}
    again = play(model, reopening(), award(awarded_on="2018-07-01"))["certificate_number"]
    assert model.registration(uid("r1"))["certificate_number"] == again
    counts = model.counts(2018)
    assert (counts["registered"], counts["beneficiaries"], counts["revoked"]) == (1, 1, 1)


def test_24_months_and_five_years_end_on_the_same_day() -> None:
    assert later(date(2020, 2, 29), months=60) == date(2025, 2, 28)
    assert later(date(2020, 2, 29), months=48) == date(2024, 2, 29)
    assert later(date(2019, 12, 31), months=24) == date(2021, 12, 31)
    assert later(date(2020, 1, 15), months=-24) == date(2018, 1, 15)


def test_the_catalogue_of_the_small_world_is_in_order() -> None:
    assert len(branch().world.log) == 3 + len(CATALOGUE) + 2
