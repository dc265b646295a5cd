"""The catalogue of the demo, shipped as `catalogue.json`; what is invented in it says so."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import UNSET, UnsetType

from contracts.facts import PublishCertification, RecogniseEquivalence, WithdrawCertification
from contracts.facts.fact import Region, Slug


class Certification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certification, version by version; the first one is in force throughout 2018.

    weight: how often the demo registers somebody, relative to the others.
    invented: the members that are neither real nor marked as fictional in their own text.
    """

    publish: tuple[PublishCertification, ...]
    weight: int
    invented: tuple[str, ...]

    @property
    def in_2018(self) -> PublishCertification:
        return self.publish[0]


class Organiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who organises evaluations. One that works in all of France has no region."""

    organiser: Slug
    weight: int
    region: Region | UnsetType = UNSET


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: tuple[str, ...]
    certifications: tuple[Certification, ...]
    withdrawals: tuple[WithdrawCertification, ...]
    equivalences: tuple[RecogniseEquivalence, ...]
    organisers: tuple[Organiser, ...]

    def publications(self) -> Iterator[PublishCertification]:
        for certification in self.certifications:
            yield from certification.publish


@cache
def catalogue() -> Catalogue:
    return msgspec.json.decode(files("services.demo").joinpath("catalogue.json").read_bytes(), type=Catalogue)
