"""GET /v1/persons/{id}/pathways."""

from datetime import date
from typing import Annotated

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter

from services.edge.operations import problems
from services.edge.tokens import Requires
from services.projections.answers import AsOf, MinPosition, answered, positioned_problems
from services.projections.pathways.answer import Pathway
from services.projections.pathways.reading import PathwaysReader

At = Annotated[
    date | None,
    QueryParameter(
        description="The day on which certifications and equivalences are in force, and blocs usable. Default: today,"
        " or the day of `as_of`."
    ),
]


async def provide_pathways(state: State) -> PathwaysReader:
    """The reader that the application's state holds while it runs."""
    reader: PathwaysReader = state["pathways"]
    return reader


@get(
    "/v1/persons/{person_id:str}/pathways",
    operation_id="getPathways",
    summary="How far a person is from each certification in force",
    tags=["Persons"],
    guards=[Requires("persons:read", about="person")],
    opt=problems(410),
    dependencies={"pathways": Provide(provide_pathways)},
    exception_handlers=positioned_problems,
)
async def get_pathways(
    *,
    pathways: NamedDependency[PathwaysReader],
    person_id: FromPath[str],
    at: At = None,
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[list[Pathway]]:
    """For each certification in force: the blocs held, those an equivalence would give, and those missing.

    Fewest missing first, then by certification_id.
    """
    answer, known = await pathways.answer(person_id, at=at, as_of=as_of, min_position=min_position)
    return answered(answer, position=known.position, variant=known.day.isoformat())
