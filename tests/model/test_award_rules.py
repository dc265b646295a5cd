"""The model against careers made by hand: rules B and A, each with its negative twin."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tests.model.award_rules import check_character, made_number
from tests.model.model import Model
from tests.model.small_world import (
    CATALOGUE,
    GONE,
    PARTIAL,
    TODAY,
    Post,
    award,
    blocs_candidate,
    branch,
    candidate,
    closing,
    correction,
    equivalence,
    evaluation,
    invalidation,
    outcomes,
    play,
    refusal,
    reopening,
    repeal,
    revocation,
    uid,
    validation,
    whole_award,
)
from tests.model.world import later


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
