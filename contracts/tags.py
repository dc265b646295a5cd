"""The tags by which `GET /v1/log/entries` filters: one for each id that an event names, anywhere in its data.

Section 3 of the contract. They are a function of the data alone. Decision tags (`Fact.tags`) are fewer; each of them
but the reference is among these.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Struct

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
    tags: set[str] = set()
    _add_tags(fact, tags)
    return frozenset(tags)


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


def _add_tags(part: Struct, tags: set[str]) -> None:
    for member, kind in _places(type(part)):
        value = getattr(part, member)
        if isinstance(value, str):
            tags.add(_tag(kind, value))
        elif isinstance(value, tuple | dict):
            for inner in value:
                if kind:
                    tags.add(_tag(kind, inner))
                else:
                    _add_tags(inner, tags)
        elif value is not UNSET:
            _add_tags(value, tags)


@cache
def _places(part: type[Struct]) -> Sequence[tuple[str, str]]:
    """The members that hold ids, with the kind of thing they name, and those whose own members do, with none."""
    members = get_type_hints(part).items()
    places = ((member, MEMBERS.get(member, ""), hint) for member, hint in members if member in part.__struct_fields__)
    return [(member, kind) for member, kind, hint in places if kind or any(map(_places, _parts(hint)))]


def _parts(hint: Any) -> Iterator[type[Struct]]:
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for argument in get_args(hint):
        yield from _parts(argument)
