"""The model's read models, on careers made by hand."""

from datetime import date

import pytest

from tests.model.small_world import (
    TODAY,
    award,
    blocs_candidate,
    branch,
    candidate,
    closing,
    evaluation,
    invalidation,
    outcomes,
    play,
    revocation,
    uid,
    validation,
    whole_award,
)
from tests.model.views import ratio


def test_competencies_of_who_has_done_nothing() -> None:
    assert branch().competencies(uid("p1"), TODAY) == {
        "person_id": uid("p1"),
        "certificates": [],
        "blocs": [],
        "competences": [],
        "prior_level": None,
        "highest_level": None,
        "open_registrations": [],
    }


def test_competencies_tell_what_was_acquired_and_whether_it_still_counts() -> None:
    model = branch(candidate(prior_level=3), evaluation(), validation())
    view = model.competencies(uid("p1"), date(2023, 5, 1))
    assert view["blocs"] == [
        {
            "bloc_id": "bloc-a1",
            "title": "Title of bloc-a1",
            "validation_id": uid("v1"),
            "basis": "EVALUATION",
            "certification_id": "cqpm-a",
            "validated_on": "2018-05-01",
            "usable_until": "2023-05-01",
            "usable": True,
        }
    ]
    assert view["competences"] == [
        {
            "competence_id": f"bloc-a1-c{n}",
            "bloc_id": "bloc-a1",
            "label": f"Label of bloc-a1-c{n}",
            "acquired_on": "2018-05-01",
        }
        for n in (1, 2)
    ]
    assert (view["prior_level"], view["highest_level"], view["open_registrations"]) == (3, None, [uid("r1")])
    assert not model.competencies(uid("p1"), date(2023, 5, 2))["blocs"][0]["usable"]
    assert not model.competencies(uid("p1"), date(2018, 4, 30))["blocs"][0]["usable"]
    play(model, invalidation())
    assert model.competencies(uid("p1"), TODAY)["competences"] == []


def test_a_revoked_certificate_stays_in_view_but_gives_no_level() -> None:
    number = play(model := branch(), *whole_award("r1", certificate_number="Demo-1"))["certificate_number"]
    view = model.competencies(uid("p1"), TODAY)
    assert view["highest_level"] == 4
    assert view["certificates"] == [
        {
            "certificate_number": number,
            "kind": "CERTIFICATION",
            "family": "CQPM",
            "certification_id": "cqpm-a",
            "version": 1,
            "title": "Title of cqpm-a",
            "level": 4,
            "awarded_on": "2018-05-15",
            "status": "LIVE",
        }
    ]
    play(model, revocation(number))
    view = model.competencies(uid("p1"), TODAY)
    assert view["highest_level"] is None
    assert [certificate["status"] for certificate in view["certificates"]] == ["REVOKED"]


def test_a_competence_is_acquired_on_its_earliest_live_validation() -> None:
    model = branch(blocs_candidate("r1", "bloc-common"), evaluation("e1", "r1", "bloc-common"))
    play(model, validation("v1", "r1", "bloc-common", validated_on="2018-06-01"), closing())
    other = blocs_candidate("r2", "bloc-common", certification_id="cqpm-b", registered_on="2018-04-01")
    play(model, other, evaluation("e2", "r2", "bloc-common"), validation("v2", "r2", "bloc-common"))
    view = model.competencies(uid("p1"), TODAY)
    assert len(view["blocs"]) == 2
    assert {row["acquired_on"] for row in view["competences"]} == {"2018-05-01"}
    assert len(view["competences"]) == 2
    play(model, invalidation("v2"))
    assert {row["acquired_on"] for row in model.competencies(uid("p1"), TODAY)["competences"]} == {"2018-06-01"}


def test_prior_level_is_the_one_of_the_earliest_registration_that_gives_one() -> None:
    model = branch(
        candidate("r1", registered_on="2018-03-01", prior_level=5),
        candidate("r2", certification_id="ccpm-d", registered_on="2018-02-01", prior_level=3),
        candidate("r3", certification_id="cqpi-c", registered_on="2018-01-01"),
    )
    assert model.competencies(uid("p1"), TODAY)["prior_level"] == 3


def test_a_registration_shows_its_blocs_outcomes_and_end() -> None:
    model = branch(blocs_candidate("r1", "bloc-common", "bloc-a1"))
    play(model, evaluation(outcomes=outcomes("bloc-a1", "ABSENT")), evaluation("e2", "r1", "bloc-common"))
    play(model, validation("v2", "r1", "bloc-common"))
    assert model.registration(uid("r1")) == {
        "registration_id": uid("r1"),
        "person_id": uid("p1"),
        "certification_id": "cqpm-a",
        "version": 1,
        "target": "BLOCS",
        "state": "OPEN",
        "blocs": [
            {
                "bloc_id": "bloc-a1",
                "competences": [
                    {"competence_id": "bloc-a1-c1", "outcome": "ABSENT"},
                    {"competence_id": "bloc-a1-c2", "outcome": None},
                ],
            },
            {
                "bloc_id": "bloc-common",
                "validation_id": uid("v2"),
                "competences": [
                    {"competence_id": "bloc-common-c1", "outcome": "ACQUIRED"},
                    {"competence_id": "bloc-common-c2", "outcome": "ACQUIRED"},
                ],
            },
        ],
    }
    play(model, closing())
    assert model.registration(uid("r1"))["state"] == "CLOSED"


def test_a_certificate_is_found_without_case_and_names_nobody() -> None:
    model = branch(*whole_award("r1", certificate_number="Demo-1"))
    certificate = model.certificate("dEMO-1")
    assert certificate is not None
    assert certificate["status"] == "LIVE"
    assert certificate["rncp_code"] == "RNCP100"
    assert certificate["blocs"][0] == {"bloc_id": "bloc-a1", "title": "Title of bloc-a1"}
    assert not {"person_id", "registration_id", "region"} & set(certificate)
    assert model.certificate("Demo-2") is None


def test_counts_follow_their_definitions() -> None:
    model = branch(
        *whole_award("r1", "p1", certificate_number="Demo-1"),
        *whole_award("r2", "p2", certificate_number="Demo-2"),
        candidate("r3", "p3", status="DEMANDEUR_EMPLOI", branch="chimie", region="11"),
        candidate("r4", "p3", certification_id="ccpm-d", status="AUTRE"),
        closing("r3"),
        closing("r4", reason="CANCELLED"),
        ("objective.set", {"year": 2018, "beneficiaries": 3}),
        revocation("Demo-2"),
    )
    assert model.counts(2018) == {
        "year": 2018,
        "registered": 3,
        "beneficiaries": 1,
        "persons": 1,
        "success_rate": 0.3333,
        "revoked": 1,
        "by_status": {
            "SALARIE": {"registered": 2, "beneficiaries": 1},
            "DEMANDEUR_EMPLOI": {"registered": 1, "beneficiaries": 0},
            "AUTRE": {"registered": 0, "beneficiaries": 0},
        },
        "by_family": {
            "CQPM": {"registered": 3, "beneficiaries": 1},
            **{family: {"registered": 0, "beneficiaries": 0} for family in ("CQPI", "CCPM", "CCPI", "BLOC")},
        },
        "by_certification": [{"certification_id": "cqpm-a", "registered": 3, "beneficiaries": 1}],
        "by_region": [
            {"region": None, "registered": 2, "beneficiaries": 1},
            {"region": "11", "registered": 1, "beneficiaries": 0},
        ],
        "by_branch": [
            {"branch": "chimie", "registered": 1, "beneficiaries": 0},
            {"branch": "metallurgie", "registered": 2, "beneficiaries": 1},
        ],
        "objective": {"beneficiaries": 3, "progress": 0.3333},
    }
    assert model.counts(2018, "chimie")["registered"] == 1
    assert model.counts(2019)["success_rate"] is None


def test_counts_count_merged_persons_once() -> None:
    first = [blocs_candidate("r1", "bloc-a1"), evaluation("e1"), validation("v1"), award("r1")]
    second = [blocs_candidate("r2", "bloc-b1", person_id=uid("p2"), certification_id="cqpm-b")]
    second += [evaluation("e2", "r2", "bloc-b1"), validation("v2", "r2", "bloc-b1"), award("r2")]
    model = branch(*first, *second)
    assert (model.counts(2018)["beneficiaries"], model.counts(2018)["persons"]) == (2, 2)
    model.merge(uid("p1"), uid("p2"), TODAY)
    assert (model.counts(2018)["beneficiaries"], model.counts(2018)["persons"]) == (2, 1)


@pytest.mark.parametrize(
    ("part", "whole", "rate"),
    [(13_757, 15_099, 0.9111), (1, 3, 0.3333), (2, 3, 0.6667), (1, 16_000, 0.0001), (1, 20_000, 0.0001), (3, 2, 1.5)],
)
def test_ratios_are_rounded_half_up(part: int, whole: int, rate: float) -> None:
    assert ratio(part, whole) == rate
