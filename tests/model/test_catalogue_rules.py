"""The model against catalogues made by hand: each rule of C, E and O with its negative twin."""

import pytest

from tests.model.small_world import (
    FICHE,
    PARTIAL,
    TOTAL,
    Post,
    bloc,
    branch,
    equivalence,
    play,
    publication,
    refusal,
    repeal,
    side,
    uid,
    withdrawal,
)


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
