"""What is said of a year: a pure function of its totals. Section 4.2 of the contract."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar, get_args

from msgspec import Struct

from contracts.facts.registrations import Family, ReportingStatus
from services.projections.views.counts.fold import NO_REGION

SHOWN_FROM = 5
"""Rows of fewer registered tell too much of single persons to be public."""


class Total(NamedTuple):
    """A sum for a year, grouped by the one of family … region that is not None, or by none of them."""

    year: int
    family: str | None
    reporting_status: str | None
    certification_id: str | None
    branch: str | None
    region: str | None
    registered: int
    beneficiaries: int
    revoked: int


class YearFacts(NamedTuple):
    """What is summed up for one year. objective: beneficiaries aimed at."""

    totals: Sequence[Total]
    persons: int
    objective: int | None


class Numbers(Struct, frozen=True, kw_only=True):
    registered: int
    beneficiaries: int


class OfCertification(Numbers, frozen=True, kw_only=True):
    certification_id: str


class OfRegion(Numbers, frozen=True, kw_only=True):
    """`region` is null for those whose region nobody named."""

    region: str | None


class OfBranch(Numbers, frozen=True, kw_only=True):
    branch: str


class ObjectiveProgress(Struct, frozen=True, kw_only=True):
    beneficiaries: int
    progress: float | None


class Counts(Struct, frozen=True, kw_only=True):
    """The figures of a year, as the registry knew at a position of the log."""

    year: int
    position: int
    registered: int
    beneficiaries: int
    persons: int
    success_rate: float | None
    revoked: int
    by_status: dict[ReportingStatus, Numbers]
    by_family: dict[Family, Numbers]
    by_certification: list[OfCertification]
    by_region: list[OfRegion]
    by_branch: list[OfBranch]
    objective: ObjectiveProgress | None


class Years(Struct, frozen=True, kw_only=True):
    years: list[Counts]


_Row = TypeVar("_Row", bound=Numbers)
_NOTHING = Numbers(registered=0, beneficiaries=0)


def counts(year: int, facts: YearFacts, *, position: int, everything: bool) -> Counts:
    """The counts of a year. `everything`: also the rows that are too small to be public."""
    whole = next((total for total in facts.totals if not any(_groups(total))), None)
    registered, beneficiaries, revoked = whole[-3:] if whole else (0, 0, 0)
    objective = facts.objective

    def rows(member: str, make: Callable[[Any, Numbers], _Row]) -> list[_Row]:
        grouped = _by(facts.totals, member)
        return [
            make(group, numbers)
            for group, numbers in sorted(grouped.items(), key=lambda item: (item[0] == NO_REGION, item[0]))
            if everything or member == "branch" or numbers.registered >= SHOWN_FROM
        ]

    by_status, by_family = _by(facts.totals, "reporting_status"), _by(facts.totals, "family")
    return Counts(
        year=year,
        position=position,
        registered=registered,
        beneficiaries=beneficiaries,
        persons=facts.persons,
        success_rate=ratio(beneficiaries, registered),
        revoked=revoked,
        by_status={status: by_status.get(status, _NOTHING) for status in get_args(ReportingStatus)},
        by_family={family: by_family.get(family, _NOTHING) for family in get_args(Family)},
        by_certification=rows("certification_id", _of_certification),
        by_region=rows("region", _of_region),
        by_branch=rows("branch", _of_branch),
        objective=None
        if objective is None
        else ObjectiveProgress(beneficiaries=objective, progress=ratio(beneficiaries, objective)),
    )


def ratio(dividend: int, divisor: int) -> float | None:
    """Of two counts, to 4 decimals, rounded half up; None when there is nothing to divide by."""
    return (dividend * 20_000 + divisor) // (2 * divisor) / 10_000 if divisor else None


def _groups(total: Total) -> Iterable[bool]:
    return (group is not None for group in total[1:6])


def _by(totals: Iterable[Total], member: str) -> dict[str, Numbers]:
    """The totals of one grouping. What has come back to nothing is not there."""
    return {
        group: Numbers(registered=total.registered, beneficiaries=total.beneficiaries)
        for total in totals
        if (group := getattr(total, member)) is not None and (total.registered or total.beneficiaries)
    }


def _of_certification(certification_id: str, of: Numbers) -> OfCertification:
    return OfCertification(certification_id=certification_id, registered=of.registered, beneficiaries=of.beneficiaries)


def _of_region(region: str, of: Numbers) -> OfRegion:
    named = None if region == NO_REGION else region
    return OfRegion(region=named, registered=of.registered, beneficiaries=of.beneficiaries)


def _of_branch(branch: str, of: Numbers) -> OfBranch:
    return OfBranch(branch=branch, registered=of.registered, beneficiaries=of.beneficiaries)
