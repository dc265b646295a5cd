"""Equivalences: E1-E4."""

from typing import Any

import pytest

from contracts.facts import EquivalenceRecognised, EquivalenceRepealed
from contracts.refusals import CertificationUnknown, EquivalenceExists, EquivalenceInvalid, EquivalenceUnknown
from contracts.refusals import EquivalenceRepealed as RepealedAlready
from tests.domain.harness import given, needed
from tests.domain.world import (
    CATALOGUE,
    EQUI_1,
    EQUI_2,
    FIT,
    FITTER,
    READ,
    WELD,
    WELDER,
    published,
    recognise,
    recognised,
    repeal,
    repealed,
    withdrawn,
)


def side(certification_id: str, *bloc_ids: str) -> dict[str, Any]:
    return {"certification_id": certification_id, "bloc_ids": list(bloc_ids)}


TOTAL: dict[str, Any] = {"kind": "TOTAL", "source": side("cqpm-fitter"), "target": side("cqpm-welder")}


def test_an_equivalence_is_recognised() -> None:
    given(needed(WELDER), needed(FITTER)).when(recognise()).then_exactly(recognised())
    given(needed(WELDER), needed(FITTER)).when(recognise(**TOTAL)).then_exactly(recognised(**TOTAL))


@pytest.mark.parametrize("kind", [TOTAL, {}])
def test_both_sides_are_published(kind: dict[str, Any]) -> None:
    given(WELDER).when(recognise(**kind)).refused(CertificationUnknown, "E1", 422, certification_id="cqpm-fitter")
    given(FITTER).when(recognise(**kind)).refused(CertificationUnknown, "E1", 422, certification_id="cqpm-welder")


def test_a_certification_is_not_its_own_total_equivalent() -> None:
    given(WELDER).when(recognise(**TOTAL | {"source": side("cqpm-welder")})).refused(
        EquivalenceInvalid, "E1", 422, certification_id="cqpm-welder"
    )


def test_blocs_of_one_certification_may_be_partial_equivalents() -> None:
    given(WELDER).when(recognise(source=side("cqpm-welder", "read"))).then(EquivalenceRecognised)


def test_a_total_equivalence_names_no_blocs() -> None:
    for name in ("source", "target"):
        listed = TOTAL | {name: side(TOTAL[name]["certification_id"], "read")}
        given(*CATALOGUE).when(recognise(**listed)).refused(EquivalenceInvalid, "E2", 422)


def test_total_equivalents_have_the_same_level_in_their_latest_versions() -> None:
    raised = published(version=2, level=4)
    given(*CATALOGUE, needed(raised)).when(recognise(**TOTAL)).refused(EquivalenceInvalid, "E2", 422, levels=[3, 4])
    given(*CATALOGUE, raised, published(certification_id="cqpm-fitter", version=2, level=4, blocs=[FIT])).when(
        recognise(**TOTAL)
    ).then(EquivalenceRecognised)


def test_no_level_equals_no_level_and_nothing_else() -> None:
    welder, fitter = published(level=None), published(certification_id="cqpm-fitter", level=None)
    given(welder, fitter).when(recognise(**TOTAL)).then(EquivalenceRecognised)
    given(welder, FITTER).when(recognise(**TOTAL)).refused(EquivalenceInvalid, "E2", 422)


def test_a_partial_equivalence_asks_no_level() -> None:
    given(published(level=7), FITTER).when(recognise()).then(EquivalenceRecognised)


def test_a_partial_equivalence_names_blocs_on_both_sides() -> None:
    given(*CATALOGUE).when(recognise(source=side("cqpm-fitter"))).refused(EquivalenceInvalid, "E3", 422)
    given(*CATALOGUE).when(recognise(target=side("cqpm-welder"))).refused(EquivalenceInvalid, "E3", 422)


def test_each_bloc_of_a_partial_equivalence_is_in_some_version_of_its_certification() -> None:
    given(*CATALOGUE).when(recognise(source=side("cqpm-fitter", "fit", "weld"))).refused(
        EquivalenceInvalid, "E3", 422, bloc_ids=["weld"]
    )
    without_weld = published(version=2, blocs=[READ])
    given(*CATALOGUE, without_weld).when(recognise()).then(EquivalenceRecognised)
    with_weld = published(certification_id="cqpm-fitter", version=2, blocs=[WELD])
    given(*CATALOGUE, with_weld).when(
        recognise(source=side("cqpm-fitter", "fit", "weld"), target=side("cqpm-welder", "read"))
    ).then(EquivalenceRecognised)


def test_no_bloc_stands_on_both_sides() -> None:
    given(*CATALOGUE).when(
        recognise(source=side("cqpm-fitter", "read", "fit"), target=side("cqpm-welder", "read"))
    ).refused(EquivalenceInvalid, "E3", 422, bloc_ids=["read"])


def test_an_equivalence_is_recognised_only_once() -> None:
    given(*CATALOGUE, needed(recognised())).when(recognise()).refused(
        EquivalenceExists, "E4", 409, equivalence_id=EQUI_1, position=3
    )
    given(*CATALOGUE, recognised(), repealed()).when(recognise()).refused(EquivalenceExists, "E4", 409, position=3)
    given(*CATALOGUE, recognised()).when(recognise(equivalence_id=EQUI_2)).then(EquivalenceRecognised)


def test_equivalences_of_withdrawn_certifications_are_recognised() -> None:
    given(*CATALOGUE, withdrawn()).when(recognise()).then(EquivalenceRecognised)


def test_only_a_known_equivalence_is_repealed() -> None:
    given(*CATALOGUE, needed(recognised())).when(repeal()).then_exactly(repealed())
    given(*CATALOGUE, recognised()).when(repeal(equivalence_id=EQUI_2)).refused(
        EquivalenceUnknown, "E4", 422, equivalence_id=EQUI_2
    )


def test_an_equivalence_is_repealed_only_once() -> None:
    given(*CATALOGUE, recognised(), needed(repealed())).when(repeal(effective_from="2025-01-01")).refused(
        RepealedAlready, "E4", 409, equivalence_id=EQUI_1, repealed_from="2024-03-15", position=4
    )
    given(*CATALOGUE, recognised(), recognised(equivalence_id=EQUI_2), repealed()).when(
        repeal(equivalence_id=EQUI_2)
    ).then(EquivalenceRepealed)
