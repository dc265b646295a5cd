"""The joint juries that deliberate in 2018: every other Thursday, at each organiser."""

from collections.abc import Iterator
from datetime import date, timedelta

from contracts.facts import HoldJury
from contracts.facts.awards import Seat
from services.demo.catalogue import Organiser
from services.demo.event import stable_id

DAYS = tuple(date(2018, 2, 1) + timedelta(days=14 * session) for session in range(24))
NOTICE = timedelta(days=21)  # J2 asks for 15

SEATS = tuple(
    Seat(
        seat_id=f"{college.lower()}-{n}",
        college=college,
        organisation=f"organisation-{college.lower()}-{n}",
        present=n < 4,
    )
    for college in ("SALARIES", "EMPLOYEURS")
    for n in range(1, 5)
)


def jury_id(organiser: Organiser, day: date) -> str:
    return stable_id(f"jury {organiser.organiser} {day}")


def juries(organisers: tuple[Organiser, ...]) -> Iterator[HoldJury]:
    for organiser in organisers:
        for day in DAYS:
            yield HoldJury(
                jury_id=jury_id(organiser, day),
                held_on=day,
                organiser=organiser.organiser,
                seats=SEATS,
                president_seat_id="employeurs-1",
                invited_on=day - NOTICE,
            )
