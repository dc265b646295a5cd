"""What every decision may know beside its boundary, and how days are counted."""

from dataclasses import dataclass
from datetime import date

from contracts.refusals import DateOutOfRange
from services.registry.domain.reference import Reference


@dataclass(frozen=True, slots=True)
class Circumstances:
    """today: the day in Europe/Paris on which the fact is recorded. first_day: the one of position 1."""

    today: date
    first_day: date
    reference: Reference


def years_after(day: date, years: int) -> date:
    """The same day some years later; 29 February gives 28 February where there is none (B5).

    Never later than the last day that has a date.
    """
    year = day.year + years
    if year > date.max.year:
        return date.max
    try:
        return day.replace(year=year)
    except ValueError:
        return day.replace(year=year, day=28)


def refuse_outside(rule: str, name: str, day: date, *, since: date | None, until: date) -> None:
    """Refuse a day that is later than `until`, or earlier than `since`; `name` is the member that gives it."""
    if day > until:
        raise DateOutOfRange(f"{name} {day} is later than {until}.", rule=rule, **{name: day}, until=until)
    if since is not None and day < since:
        raise DateOutOfRange(f"{name} {day} is before {since}.", rule=rule, **{name: day}, since=since)
