"""GET /v1/persons/{id}/export."""

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from services.edge.operations import SHOWS_IDENTITY, problems
from services.edge.tokens import Requires
from services.export.export import Export, Exporter
from services.projections.answers import POSITION_HEADER, positioned_problems


@get(
    "/v1/persons/{person_id:str}/export",
    operation_id="exportPerson",
    summary="Everything that is known about a person",
    tags=["Persons"],
    guards=[Requires("persons:admin")],
    opt=problems(410) | {SHOWS_IDENTITY: True},
    exception_handlers=positioned_problems,
)
async def export_person(request: Request[Any, Any, Any], person_id: FromPath[str]) -> Response[Export]:
    """For the person, who asks for access or to take it along (GDPR, articles 15 and 20).

    Identities under every id, competencies, registrations, certificates, events, and who has looked, each with what it
    is for.
    """
    exporter: Exporter = request.app.state["exporter"]
    export = await exporter.export(person_id)
    headers = {
        POSITION_HEADER: str(export.position),
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{export.person_id}.json"',
    }
    return Response(export, headers=headers)
