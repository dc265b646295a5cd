"""The tags by which `GET /v1/log/entries` filters: one for each id that an event names, anywhere in its data.

Section 3 of the contract. They are a function of the data alone. Decision tags (`Fact.tags`) are fewer; each of them
but the reference is among these.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from contracts.facts import Fact
from contracts.facts.fact import CertificateNumber, Slug, Uuid

KINDS: dict[str, Any] = {
    "person": Uuid,
    "registration": Uuid,
    "evaluation": Uuid,
    "validation": Uuid,
    "certification": Slug,
    "bloc": Slug,
    "certificate": CertificateNumber,
    "jury": Uuid,
    "equivalence": Uuid,
}
"""What a tag may name, and the form of its id. A tag is the kind, a colon and the id."""

MEMBERS: dict[str, str] = {
    "person_id": "person",
    "kept_id": "person",
    "merged_id": "person",
    "registration_id": "registration",
    "evaluation_id": "evaluation",
    "validation_id": "validation",
    "source_validation_id": "validation",
    "certification_id": "certification",
    "replaced_by": "certification",
    "bloc_id": "bloc",
    "bloc_ids": "bloc",
    "bloc_codes": "bloc",  # its keys
    "certificate_number": "certificate",
    "jury_id": "jury",
    "equivalence_id": "equivalence",
}
"""The members of data that hold ids, one or several, and the kind of thing they name."""


def filter_tags(fact: Fact) -> frozenset[str]:
    """Every tag that the event of this fact carries."""
    return frozenset(_tags(fact))


def canonical_tag(text: str) -> str | None:
    """The tag that a caller means, None when it is none. Certificate numbers are the same without case (A4)."""
    kind, _, id_ = text.partition(":")
    try:
        msgspec.convert(id_, KINDS[kind])
    except (KeyError, msgspec.ValidationError):
        return None
    return _tag(kind, id_)


def _tag(kind: str, id_: str) -> str:
    return f"{kind}:{id_.lower()}" if kind == "certificate" else f"{kind}:{id_}"


def _tags(part: Struct) -> Iterator[str]:
    for member in part.__struct_fields__:
        value = getattr(part, member)
        if kind := MEMBERS.get(member):
            ids = (value,) if isinstance(value, str) else () if value is msgspec.UNSET else value
            for id_ in ids:
                yield _tag(kind, id_)
        elif isinstance(value, Struct):
            yield from _tags(value)
        elif isinstance(value, tuple):
            for inner in value:
                if isinstance(inner, Struct):
                    yield from _tags(inner)
