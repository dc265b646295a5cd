"""GET /v1/registrations/{id}."""

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from services.edge.tokens import Requires
from services.projections.answers import AsOf, MinPosition, answered, positioned_problems
from services.projections.registrations.fold import RegistrationAnswer
from services.projections.registrations.reading import RegistrationsReader


async def provide_registrations(state: State) -> RegistrationsReader:
    """The reader that the application's state holds while it runs."""
    reader: RegistrationsReader = state["registrations"]
    return reader


@get(
    "/v1/registrations/{registration_id:str}",
    operation_id="getRegistration",
    summary="What became of a registration",
    tags=["Registrations"],
    guards=[Requires("registrations:read", about="registration")],
    dependencies={"registrations": Provide(provide_registrations)},
    exception_handlers=positioned_problems,
)
async def get_registration(
    *,
    registrations: NamedDependency[RegistrationsReader],
    registration_id: FromPath[str],
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[RegistrationAnswer]:
    """Its state, and for each bloc of its target the live validation and the outcomes that decide."""
    position, last, answer = await registrations.answer(registration_id, as_of=as_of, min_position=min_position)
    return answered(answer, position=position, variant="registration", last=last)
