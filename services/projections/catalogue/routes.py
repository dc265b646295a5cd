"""GET /v1/certifications, one of them, one of its versions, and /v1/equivalences. Public."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import islice
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter

from contracts.facts import PublishCertification
from contracts.facts.catalogue import CertificationFamily
from contracts.facts.fact import whole
from contracts.problems import NotFound
from services.projections.answers import POSITION_HEADER, AsOf, MinPosition, positioned_problems
from services.projections.catalogue.answer import (
    CertificationDetail,
    CertificationRow,
    EquivalenceRow,
    certification_detail,
    certification_row,
    equivalence_row,
)
from services.projections.catalogue.fold import Certification, CertificationStatus, EquivalenceStatus
from services.projections.catalogue.reading import CatalogueReader, Known
from services.projections.catalogue.search import finds, plain

T = TypeVar("T")

ROWS_MAX = 1_000
SLUG = whole("[a-z0-9][a-z0-9-]{1,63}")

At = Annotated[
    date | None,
    QueryParameter(description="The day that says what is in force. Default: today, or the day of `as_of`."),
]
Family = Annotated[CertificationFamily | None, QueryParameter(description="Only certifications of this family.")]
AtLevel = Annotated[int | None, QueryParameter(ge=1, le=8, description="Only certifications of this level.")]
Branch = Annotated[str | None, QueryParameter(pattern=SLUG, description="Only certifications of this branch.")]
Words = Annotated[
    str | None,
    QueryParameter(
        name="q",
        max_length=300,
        description="Only certifications where each of these words, or parts of words, is found in an id, a title or a"
        " code of the certification or of its blocs. Accents and case do not count.",
    ),
]
InStatus = Annotated[
    CertificationStatus | None, QueryParameter(name="status", description="Only those in this status.")
]
EquivalenceInStatus = Annotated[
    EquivalenceStatus | None, QueryParameter(name="status", description="Only those in this status.")
]
Source = Annotated[str | None, QueryParameter(pattern=SLUG, description="Only those from this certification.")]
Target = Annotated[str | None, QueryParameter(pattern=SLUG, description="Only those to this certification.")]
After = Annotated[str, QueryParameter(description="Only what comes after this id; a page's `Link` to the next has it.")]
Limit = Annotated[int, QueryParameter(ge=1, le=ROWS_MAX, description="At most so many.")]


async def provide_catalogue(state: State) -> CatalogueReader:
    """The reader that the application's state holds while it runs."""
    reader: CatalogueReader = state["catalogue"]
    return reader


CATALOGUE = {"catalogue": Provide(provide_catalogue)}


@get(
    "/v1/certifications",
    operation_id="listCertifications",
    summary="The certifications, on a day",
    tags=["Catalogue"],
    dependencies=CATALOGUE,
)
async def list_certifications(
    *,
    request: Request[Any, Any, Any],
    catalogue: NamedDependency[CatalogueReader],
    family: Family = None,
    level: AtLevel = None,
    branch: Branch = None,
    words: Words = None,
    status: InStatus = None,
    at: At = None,
    as_of: AsOf = None,
    min_position: MinPosition = None,
    after: After = "",
    limit: Limit = ROWS_MAX,
) -> Response[list[CertificationRow]]:
    """All that are published, each as the version in force says, in the order of their ids.

    Those withdrawn or yet to come are among them: `status` says so. The filters look at what is shown of a
    certification on that day.
    """
    known = await catalogue.known(at=at, as_of=as_of, min_position=min_position)
    sought = plain(words or "").split()

    def wanted(certification: Certification) -> bool:
        version = certification.shown(known.day)
        return (
            certification.certification_id > after
            and family in (None, version.fact.family)
            and level in (None, version.fact.level)
            and (branch is None or branch in version.fact.branches)
            and status in (None, certification.status(known.day))
            and finds(sought, version.text)
        )

    found = (one for one in known.catalogue.certifications.values() if wanted(one))
    rows = (certification_row(one, known.day) for one in found)
    return _paged(request, known, rows, limit, lambda row: row.certification_id)


@get(
    "/v1/certifications/{certification_id:str}",
    operation_id="getCertification",
    summary="A certification, on a day",
    tags=["Catalogue"],
    dependencies=CATALOGUE,
    exception_handlers=positioned_problems,
)
async def get_certification(
    *,
    catalogue: NamedDependency[CatalogueReader],
    certification_id: FromPath[str],
    at: At = None,
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[CertificationDetail]:
    """The certification as the version in force says, all its versions, and its withdrawal."""
    known = await catalogue.known(at=at, as_of=as_of, min_position=min_position)
    return _answered(certification_detail(_certification(known, certification_id), known.day), known)


@get(
    "/v1/certifications/{certification_id:str}/versions/{version:int}",
    operation_id="getCertificationVersion",
    summary="A version of a certification, as published",
    tags=["Catalogue"],
    dependencies=CATALOGUE,
    exception_handlers=positioned_problems,
)
async def get_certification_version(
    *,
    catalogue: NamedDependency[CatalogueReader],
    certification_id: FromPath[str],
    version: FromPath[int],
    as_of: AsOf = None,
    min_position: MinPosition = None,
) -> Response[PublishCertification]:
    """What the event that published it says; it never changes."""
    known = await catalogue.known(at=None, as_of=as_of, min_position=min_position)
    for published in _certification(known, certification_id).versions:
        if published.fact.version == version:
            return _answered(published.fact, known)
    raise NotFound(f"{certification_id} has no version {version}.", position=known.position)


@get(
    "/v1/equivalences",
    operation_id="listEquivalences",
    summary="The equivalences, on a day",
    tags=["Catalogue"],
    dependencies=CATALOGUE,
)
async def list_equivalences(
    *,
    request: Request[Any, Any, Any],
    catalogue: NamedDependency[CatalogueReader],
    source: Source = None,
    target: Target = None,
    status: EquivalenceInStatus = None,
    at: At = None,
    as_of: AsOf = None,
    min_position: MinPosition = None,
    after: After = "",
    limit: Limit = ROWS_MAX,
) -> Response[list[EquivalenceRow]]:
    """All that are recognised, in the order of their ids. Those not in force are among them: `status` says so."""
    known = await catalogue.known(at=at, as_of=as_of, min_position=min_position)
    rows = (
        equivalence_row(one, known.day)
        for id_, one in known.catalogue.equivalences.items()
        if id_ > after
        and source in (None, one.fact.source.certification_id)
        and target in (None, one.fact.target.certification_id)
        and status in (None, one.status(known.day))
    )
    return _paged(request, known, rows, limit, lambda row: row.equivalence_id)


def _certification(known: Known, certification_id: str) -> Certification:
    certification = known.catalogue.certifications.get(certification_id)
    if certification is None:
        raise NotFound(f"No certification {certification_id} is published.", position=known.position)
    return certification


def _paged(
    request: Request[Any, Any, Any], known: Known, rows: Iterable[T], limit: int, id_of: Callable[[T], str]
) -> Response[list[T]]:
    """The first rows, with a link to the next ones if there are any (RFC 8288)."""
    taken = list(islice(rows, limit + 1))
    page = taken[:limit]
    response = _answered(page, known)
    if len(taken) > limit:
        response.headers["Link"] = f'<{_continued(request, id_of(page[-1]))}>; rel="next"'
    return response


def _continued(request: Request[Any, Any, Any], after: str) -> str:
    """The request's own address, relative to the registry's, but for what comes after an id."""
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept: Sequence[tuple[str, str]] = [(name, value) for name, value in query if name != "after"]
    return f"{request.scope['path']}?{urlencode([*kept, ('after', after)])}"


def _answered(content: T, known: Known) -> Response[T]:
    """The answer. Positions go on while the catalogue seldom changes: its entity tag is a digest of the content."""
    digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]
    return Response(content, headers={POSITION_HEADER: str(known.position), "ETag": f'"{digest}"'})
