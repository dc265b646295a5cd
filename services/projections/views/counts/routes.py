"""GET /v1/branch/counts."""

from typing import Annotated

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from contracts.facts.fact import whole
from contracts.problems import Malformed, Unauthenticated
from services.edge.tokens import Caller
from services.projections.answers import AsOf, MinPosition, answered
from services.projections.views.counts.answer import Counts, Years
from services.projections.views.counts.reading import CountsReader

YEARS_MAX = 100

Year = Annotated[int | None, QueryParameter(ge=1, le=9_999, description="One year.")]
From = Annotated[int | None, QueryParameter(name="from", ge=1, le=9_999, description="The first of some years.")]
To = Annotated[int | None, QueryParameter(name="to", ge=1, le=9_999, description="The last of some years.")]
Branch = Annotated[
    str | None,
    QueryParameter(pattern=whole("[a-z0-9][a-z0-9-]{1,63}"), description="Only what candidates of this branch did."),
]


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
