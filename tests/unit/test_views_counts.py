"""View `counts`: how figures are put together (contract, 4.2). What is counted: integration tests."""

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from services.projections.views.counts.answer import SHOWN_FROM, Total, YearFacts, counts, ratio
from tests.unit.naive import rounded

NOTHING = YearFacts((), 0, None)


def total(registered: int, beneficiaries: int = 0, **group: str) -> Total:
    members = dict.fromkeys(("family", "reporting_status", "certification_id", "branch", "region"))
    return Total(2018, **members | group, registered=registered, beneficiaries=beneficiaries, revoked=0)


def test_the_figures_of_2018() -> None:
    assert ratio(13_757, 15_099) == 0.9111


@pytest.mark.parametrize(
    ("dividend", "divisor", "expected"),
    [(1, 20_000, 0.0001), (1, 20_001, 0.0), (3, 2, 1.5), (0, 3, 0.0), (2, 3, 0.6667), (1, 0, None), (0, 0, None)],
)
def test_ratios_have_four_decimals_rounded_half_up_and_may_exceed_one(
    dividend: int, divisor: int, expected: float | None
) -> None:
    assert ratio(dividend, divisor) == expected


@for_any(st.integers(0, 2**31), st.integers(0, 2**31))
def test_ratios_are_those_of_decimal_arithmetic(dividend: int, divisor: int) -> None:
    assert ratio(dividend, divisor) == rounded(dividend, divisor)


def test_a_year_of_which_nothing_is_known_has_all_its_keys() -> None:
    answer = msgspec.to_builtins(counts(2018, NOTHING, position=7, everything=True))
    zero = {"registered": 0, "beneficiaries": 0}
    assert answer == {
        "year": 2018,
        "position": 7,
        "registered": 0,
        "beneficiaries": 0,
        "persons": 0,
        "success_rate": None,
        "revoked": 0,
        "by_status": dict.fromkeys(("SALARIE", "DEMANDEUR_EMPLOI", "AUTRE"), zero),
        "by_family": dict.fromkeys(("CQPM", "CQPI", "CCPM", "CCPI", "BLOC"), zero),
        "by_certification": [],
        "by_region": [],
        "by_branch": [],
        "objective": None,
    }


def test_progress_is_towards_the_objective() -> None:
    facts = YearFacts((total(4, 3),), 3, 30)
    assert msgspec.to_builtins(counts(2018, facts, position=1, everything=True).objective) == {
        "beneficiaries": 30,
        "progress": 0.1,
    }


def test_small_rows_of_certifications_and_regions_are_not_public_and_those_of_branches_are() -> None:
    few, enough = SHOWN_FROM - 1, SHOWN_FROM
    totals = [
        total(few, 4, certification_id="few"),
        total(enough, certification_id="enough"),
        total(few, region="11"),
        total(enough, region=""),
        total(few, branch="plasturgie"),
    ]
    public = counts(2018, YearFacts(totals, 0, None), position=1, everything=False)
    everything = counts(2018, YearFacts(totals, 0, None), position=1, everything=True)
    assert [row.certification_id for row in public.by_certification] == ["enough"]
    assert [row.certification_id for row in everything.by_certification] == ["enough", "few"]
    assert [row.region for row in public.by_region] == [None]
    assert [row.region for row in everything.by_region] == ["11", None]
    assert [row.branch for row in public.by_branch] == ["plasturgie"]


def test_a_row_that_has_come_back_to_nothing_is_not_there() -> None:
    facts = YearFacts([total(0, certification_id="cancelled")], 0, None)
    assert counts(2018, facts, position=1, everything=True).by_certification == []
