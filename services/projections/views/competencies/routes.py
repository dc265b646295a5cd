"""GET /v1/persons/{id}/competencies, and what the answer rests on."""

from datetime import date
from typing import Annotated

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter

from services.edge.operations import problems
from services.edge.tokens import Requires
from services.projections.answers import AsOf, MinPosition, answered, positioned_problems
from services.projections.views.competencies.answer import Competencies
from services.projections.views.competencies.grounds import Grounds
from services.projections.views.competencies.reading import CompetenciesReader

At = Annotated[
    date | None,
    QueryParameter(description="The day on which blocs are judged usable. Default: today, or the day of `as_of`."),
]


async def provide_competencies(state: State) -> CompetenciesReader:
    """The reader that the application's state holds while it runs."""
    reader: CompetenciesReader = state["competencies"]
    return reader


@get(
    "/v1/persons/{person_id:str}/competencies",
    operation_id="getCompetencies",
    summary="What a person holds",
    tags=["Persons"],
    guards=[Requires("persons:read", about="person")],
    opt=problems(410),
    dependencies={"competencies": Provide(provide_competencies)},
    exception_handlers=positioned_problems,
)
async def get_competencies(
    *,
    competencies: NamedDependency[CompetenciesReader],
    person_id: FromPath[str],
    at: At = None,
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[Competencies]:
    """Certificates, blocs of competences and competences of a person, and the registrations that are open."""
    answer, day = await competencies.answer(person_id, at=at, as_of=as_of, min_position=min_position)
    return answered(answer, position=answer.position, variant=day.isoformat())


@get(
    "/v1/persons/{person_id:str}/competencies/grounds",
    operation_id="getCompetenciesGrounds",
    summary="What the answer about a person rests on",
    tags=["Persons"],
    guards=[Requires("persons:read", about="person"), Requires("log:read")],
    opt=problems(410),
    dependencies={"competencies": Provide(provide_competencies)},
    exception_handlers=positioned_problems,
)
async def get_competencies_grounds(
    *,
    competencies: NamedDependency[CompetenciesReader],
    person_id: FromPath[str],
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[Grounds]:
    """For each row of the competencies, the positions of the events that it comes from."""
    answer = await competencies.grounds(person_id, as_of=as_of, min_position=min_position)
    return answered(answer, position=answer.position, variant="grounds")
