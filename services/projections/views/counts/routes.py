"""GET /v1/branch/counts, and what its figures rest on."""

from typing import Annotated

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from contracts.facts.fact import whole
from contracts.facts.registrations import Family, ReportingStatus
from contracts.problems import Malformed, Unauthenticated
from services.edge.tokens import Caller, Requires
from services.projections.answers import AsOf, MinPosition, answered
from services.projections.views.counts.answer import Counts, Years
from services.projections.views.counts.fold import NO_REGION
from services.projections.views.counts.grounds import CountGrounds, Figure, Wanted
from services.projections.views.counts.reading import CountsReader

YEARS_MAX = 100

Year = Annotated[int | None, QueryParameter(ge=1, le=9_999, description="One year.")]
From = Annotated[int | None, QueryParameter(name="from", ge=1, le=9_999, description="The first of some years.")]
To = Annotated[int | None, QueryParameter(name="to", ge=1, le=9_999, description="The last of some years.")]
Branch = Annotated[
    str | None,
    QueryParameter(pattern=whole("[a-z0-9][a-z0-9-]{1,63}"), description="Only what candidates of this branch did."),
]


GROUNDS_MAX = 10_000
NO_REGION_NAME = "none"

OfYear = Annotated[int, QueryParameter(name="year", ge=1, le=9_999, description="The year.")]
OfFigure = Annotated[Figure, QueryParameter(name="figure", description="Which figure of the year.")]
OfCertification = Annotated[
    str | None, QueryParameter(pattern=whole("[a-z0-9][a-z0-9-]{1,63}"), description="Of this certification alone.")
]
OfFamily = Annotated[Family | None, QueryParameter(description="Of this family alone.")]
OfStatus = Annotated[ReportingStatus | None, QueryParameter(name="status", description="Of this status alone.")]
OfRegion = Annotated[
    str | None,
    QueryParameter(
        pattern=whole("[0-9]{2,3}|none"), description="Of this region alone; `none`: where nobody named one."
    ),
]
After = Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="Only events behind this position.")]
Limit = Annotated[int, QueryParameter(ge=1, le=GROUNDS_MAX, description="At most so many events.")]


async def provide_counts(state: State) -> CountsReader:
    """The reader that the application's state holds while it runs."""
    reader: CountsReader = state["counts"]
    return reader


@get(
    "/v1/branch/counts",
    operation_id="getBranchCounts",
    summary="What the branch counts",
    tags=["Branch"],
    dependencies={"counts": Provide(provide_counts)},
)
async def get_branch_counts(
    *,
    counts: NamedDependency[CountsReader],
    caller_if_any: NamedDependency[Caller | None],
    year: Year = None,
    from_year: From = None,
    to_year: To = None,
    branch: Branch = None,
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[Counts | Years]:
    """Registered candidates and beneficiaries of a year, or of each of some years (`from` and `to`).

    Public. Rows of certifications and regions with fewer than 5 registered, and `as_of`, need the scope `log:read`.
    """
    first, last = _span(year, from_year, to_year)
    everything = caller_if_any is not None and caller_if_any.sees_all("log:read")
    if as_of is not None:
        _require_log_read(caller_if_any)
    position, parked, years = await counts.answer(
        first, last, branch=branch, as_of=as_of, min_position=min_position, everything=everything
    )
    content = years[0] if year is not None else Years(years=years)
    response = answered(content, position=position, variant="all" if everything else "public", parked=parked)
    response.headers["Vary"] = "Authorization"
    return response


@get(
    "/v1/branch/counts/grounds",
    operation_id="getBranchCountsGrounds",
    summary="What a figure of the branch rests on",
    tags=["Branch"],
    guards=[Requires("log:read")],
    dependencies={"counts": Provide(provide_counts)},
)
async def get_branch_counts_grounds(
    *,
    counts: NamedDependency[CountsReader],
    year: OfYear,
    figure: OfFigure,
    branch: Branch = None,
    certification_id: OfCertification = None,
    family: OfFamily = None,
    reporting_status: OfStatus = None,
    region: OfRegion = None,
    after: After = 0,
    limit: Limit = 1_000,
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[CountGrounds]:
    """Every event that changed a figure, and by how much: together they add up to it.

    For the page behind `next_after` give `as_of` the `position` of the first, so that all pages are of one moment.
    """
    of = (certification_id, family, reporting_status, branch, NO_REGION if region == NO_REGION_NAME else region)
    _refuse_what_is_not_counted(figure, of)
    wanted = Wanted(year, figure, *of)
    answer, parked = await counts.grounds(wanted, as_of=as_of, min_position=min_position, after=after, limit=limit)
    return answered(answer, position=answer.position, variant="grounds", parked=parked)


def _refuse_what_is_not_counted(figure: Figure, of: tuple[str | None, ...]) -> None:
    """Persons are counted by branch alone, objectives are the year's."""
    certification_id, family, reporting_status, branch, region = of
    finer = any(given is not None for given in (certification_id, family, reporting_status, region))
    if figure == "objective" and (finer or branch is not None):
        raise Malformed("An objective is that of the year: give nothing beside it.", figure=figure)
    if figure == "persons" and finer:
        raise Malformed("Persons are counted for a year and a branch: give no other.", figure=figure)


def _span(year: int | None, first: int | None, last: int | None) -> tuple[int, int]:
    """The first and the last year asked for."""
    if year is not None and first is None and last is None:
        return year, year
    if year is not None or first is None or last is None:
        raise Malformed("Either year is given, or from and to.")
    if not 0 <= last - first < YEARS_MAX:
        raise Malformed(f"from {first} to {last} is no span of 1 to {YEARS_MAX} years.", first=first, last=last)
    return first, last


def _require_log_read(caller: Caller | None) -> None:
    if caller is None:
        raise Unauthenticated("as_of needs a bearer token with the scope log:read.", scope="log:read")
    caller.require_all("log:read")
