"""Juries: J1-J3, T1. That facts name a jury of their own day is told where they are decided."""

from typing import Any

import pytest

from contracts.facts import JuryHeld
from contracts.refusals import DateOutOfRange, JuryExists, JuryInvalid, JuryInvitedLate
from tests.domain.harness import given, needed
from tests.domain.world import JURY_1, JURY_2, hold_jury, jury_held, seat

UNION, EMPLOYER = seat("union-1", "SALARIES"), seat("employer-1", "EMPLOYEURS")


def test_a_jury_is_held() -> None:
    given().when(hold_jury()).then_exactly(jury_held())
    larger = [UNION, seat("union-2", "SALARIES", present=False), EMPLOYER, seat("employer-2", "EMPLOYEURS")]
    given().when(hold_jury(seats=larger, president_seat_id="employer-2")).then(JuryHeld)


@pytest.mark.parametrize(
    ("seats", "per_college"),
    [
        ([], {"SALARIES": 0, "EMPLOYEURS": 0}),
        ([EMPLOYER], {"SALARIES": 0, "EMPLOYEURS": 1}),
        ([UNION, EMPLOYER, seat("union-2", "SALARIES")], {"SALARIES": 2, "EMPLOYEURS": 1}),
        ([UNION, EMPLOYER, seat("employer-2", "EMPLOYEURS", present=False)], {"SALARIES": 1, "EMPLOYEURS": 2}),
    ],
)
def test_a_jury_has_as_many_seats_of_each_college(seats: list[dict[str, Any]], per_college: dict[str, int]) -> None:
    given().when(hold_jury(seats=seats)).refused(JuryInvalid, "J1", 422, seats_per_college=per_college)


@pytest.mark.parametrize("president", ["union-1", "employer-2", "nobody"])
def test_a_present_employer_presides(president: str) -> None:
    absent = [seat("union-2", "SALARIES"), seat("employer-2", "EMPLOYEURS", present=False)]
    given().when(hold_jury(seats=[UNION, EMPLOYER, *absent], president_seat_id=president)).refused(
        JuryInvalid, "J1", 422, president_seat_id=president
    )


@pytest.mark.parametrize(
    ("invited_on", "held_on"),
    [("2024-03-17", "2024-04-01"), ("2024-02-15", "2024-03-01"), ("2023-02-14", "2023-03-01")],
)
def test_a_jury_is_invited_fifteen_days_before(invited_on: str, held_on: str) -> None:
    given().when(hold_jury(invited_on=invited_on, held_on=held_on)).then(JuryHeld)


@pytest.mark.parametrize(
    ("invited_on", "held_on"),
    [("2024-03-18", "2024-04-01"), ("2023-02-15", "2023-03-01"), ("2024-04-02", "2024-04-01")],
)
def test_a_jury_is_not_invited_later(invited_on: str, held_on: str) -> None:
    given().when(hold_jury(invited_on=invited_on, held_on=held_on)).refused(
        JuryInvitedLate, "J2", 422, invited_on=invited_on, held_on=held_on
    )


def test_a_jury_is_recorded_only_once() -> None:
    given(needed(jury_held())).when(hold_jury()).refused(JuryExists, "J3", 409, jury_id=JURY_1, position=1)
    given(jury_held()).when(hold_jury(jury_id=JURY_2)).then(JuryHeld)


def test_a_jury_is_not_held_in_the_future() -> None:
    given().when(hold_jury(held_on="2024-06-15")).then(JuryHeld)
    given().when(hold_jury(held_on="2024-06-16")).refused(
        DateOutOfRange, "T1", 422, held_on="2024-06-16", until="2024-06-15"
    )
