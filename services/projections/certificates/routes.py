"""GET /v1/certificates/{number}: public, and it names nobody."""

from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath

from services.projections.answers import AsOf, MinPosition, answered, positioned_problems
from services.projections.certificates.fold import CertificateAnswer
from services.projections.certificates.reading import CertificatesReader


async def provide_certificates(state: State) -> CertificatesReader:
    """The reader that the application's state holds while it runs."""
    reader: CertificatesReader = state["certificates"]
    return reader


@get(
    "/v1/certificates/{certificate_number:str}",
    operation_id="getCertificate",
    summary="What a certificate says, and whether it holds",
    tags=["Certificates"],
    dependencies={"certificates": Provide(provide_certificates)},
    exception_handlers=positioned_problems,
)
async def get_certificate(
    *,
    certificates: NamedDependency[CertificatesReader],
    certificate_number: FromPath[str],
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[CertificateAnswer]:
    """Public. The number's case does not matter. Nothing is said about the person."""
    position, last, answer = await certificates.answer(certificate_number, as_of=as_of, min_position=min_position)
    return answered(answer, position=position, variant="certificate", last=last)
