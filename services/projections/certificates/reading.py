"""Answers about certificates, now and as of a position."""

from contracts.problems import NotFound
from contracts.tags import canonical_tag
from services.projections.catalogue.reading import CatalogueReader
from services.projections.certificates.fold import CertificateAnswer, answer, folded
from services.projections.moments import Moments
from services.projections.positions import LOG, Positions
from services.projections.tagged import TaggedEvents
from services.projections.versions import version_of


class CertificatesReader:
    """Says what certificates say: as the log knows, never behind it."""

    def __init__(
        self, tagged: TaggedEvents, catalogue: CatalogueReader, positions: Positions, moments: Moments
    ) -> None:
        self._tagged = tagged
        self._catalogue = catalogue
        self._positions = positions
        self._moments = moments

    async def answer(
        self, certificate_number: str, *, as_of: str | None, min_position: int | None
    ) -> tuple[int, int, CertificateAnswer]:
        """The position answered for, the position of the last event that the answer comes from, and the answer.

        Raises NotFound with the position, Malformed, and Unavailable for a position that does not come.
        """
        if min_position is not None:
            await self._positions.reached(LOG, min_position)
        until = None if as_of is None else (await self._moments.moment(LOG, as_of)).position
        tag = canonical_tag(f"certificate:{certificate_number}")
        position, entries = tagged = await self._tagged.read([tag] if tag else [], until=until)
        certificate = folded(tagged.events())
        if certificate is None:
            raise NotFound("No certificate has this number.", position=position)
        version = await version_of(self._catalogue, certificate.awarded.certification_id, certificate.awarded.version)
        return position, entries[-1].position, answer(certificate, version)
