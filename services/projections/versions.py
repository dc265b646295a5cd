"""The version of a certification that a recorded fact names."""

from contracts.facts import CertificationPublished
from services.projections.catalogue.reading import CatalogueReader


async def version_of(catalogue: CatalogueReader, certification_id: str, number: int) -> CertificationPublished:
    """The version as published. It was so before the fact that names it, and never changes: any later look finds it."""
    known = await catalogue.known(at=None, as_of=None, min_position=None)
    return known.catalogue.certifications[certification_id].versions[number - 1].fact
