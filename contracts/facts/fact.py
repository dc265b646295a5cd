"""What every fact is, and the forms its members take."""

import inspect
from collections.abc import Callable
from datetime import date
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self, TypeVar

import msgspec
from eventsourcing.dcb import domain
from eventsourcing.dcb.domain import MetaPerspective
from msgspec import UNSET, Meta, UnsetType

T = TypeVar("T")

TYPE_PREFIX = "certibranche."


def whole(pattern: str) -> str:
    """The pattern, of a whole string: `$` alone would let a last line feed through."""
    return f"^(?:{pattern})$(?!\\n)"


Uuid = Annotated[str, Meta(pattern=whole("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"))]
Slug = Annotated[str, Meta(pattern=whole("[a-z0-9][a-z0-9-]{1,63}"))]
CertificateNumber = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9-]{3,39}"))]
Reference = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9 ./-]{0,39}"))]
Region = Annotated[str, Meta(pattern=whole("[0-9]{2,3}"))]
Sha256 = Annotated[str, Meta(pattern=whole("[0-9a-fA-F]{64}"))]
Label = Annotated[str, Meta(min_length=1, max_length=300)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Level = Annotated[int, Meta(ge=1, le=8)]
FicheCode = Annotated[str, Meta(pattern=whole("(?:RNCP|RS)[0-9]+"))]
RomeCode = Annotated[str, Meta(pattern=whole("[A-Z][0-9]{4}"))]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member of a fact that has members of its own, or what a caller posts to bring a fact about."""


class Fact(Part, domain.Decision, frozen=True, kw_only=True):
    """Something that happened, as it is recorded for ever.

    name: its wire name without prefix and version ("candidate.registered").
    posted: the form in which callers post it; None for facts that the registry makes by itself.
    scope: what a token must hold to post it.
    type_version: the version in which it is recorded today; older ones are upcast when they are read.
    """

    name: ClassVar[str]
    posted: ClassVar[type[Part] | None] = None
    scope: ClassVar[str] = ""
    type_version: ClassVar[int] = 1

    @classmethod
    def type_name(cls) -> str:
        """The CloudEvents `type` ("certibranche.candidate.registered.v1")."""
        return _wire_names(cls)[-1]

    @classmethod
    def wire_names(cls) -> tuple[str, ...]:
        """Every CloudEvents `type` under which such facts are stored, the oldest first, today's last.

        Who selects facts in the log selects all of these.
        """
        return _wire_names(cls)

    def tags(self) -> tuple[str, ...]:
        """The decision tags: by these alone do decisions find this fact. At most one of each kind, but persons."""
        raise NotImplementedError

    @classmethod
    def of(cls, command: Part, **derived: Any) -> Self:
        """The fact that a command brings about: what it says, completed by what the registry derives."""
        return cls(**(msgspec.structs.asdict(command) | derived))

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def fold_into(self, folding: domain.Slice[Any]) -> None:
        """Let a slice's handler for this fact, if it has one, fold it."""
        if (fold := _handler(type(folding), type(self))) is not None:
            fold(folding, self)

    def mutate(self, obj: Any) -> Any:
        """The library asks this of what a slice has just said. It is done then: what it says is folded by others."""
        return obj


@cache
def _wire_names(fact_type: type[Fact]) -> tuple[str, ...]:
    return tuple(f"{TYPE_PREFIX}{fact_type.name}.v{version}" for version in range(1, fact_type.type_version + 1))


@cache
def _handler(slice_type: MetaPerspective, fact_type: type[Fact]) -> Callable[[Any, Fact], None] | None:
    """The slice's handler as a function of (slice, fact).

    As in the library a handler names the members that it wants; one that names `fact` gets the fact itself. The
    library's own dispatch reads the signature each time, which costs five times as much.
    """
    folding = (domain.decorated_funcs.get((slice_type, kind)) for kind in fact_type.__mro__)
    if (function := next(filter(None, folding), None)) is None:
        return None
    names = list(inspect.signature(function).parameters)[1:]
    if names == ["fact"]:
        return function
    if unknown := set(names) - set(fact_type.__struct_fields__):
        raise TypeError(f"{slice_type.__name__} asks {fact_type.__name__} for {', '.join(sorted(unknown))}")
    match names:
        case []:
            return lambda target, fact: function(target)
        case [name]:
            get_one = attrgetter(name)
            return lambda target, fact: function(target, get_one(fact))
        case _:
            get_all = attrgetter(*names)
            return lambda target, fact: function(target, *get_all(fact))


def given(value: T | UnsetType) -> T | None:
    """The optional member's value, None when it is absent."""
    return None if isinstance(value, UnsetType) else value


REFERENCE = "reference"
"""The tag of the few facts that nearly every decision needs: the catalogue, equivalences, who is who."""


def person(person_id: str) -> str:
    return f"person:{person_id}"


def registration(registration_id: str) -> str:
    return f"registration:{registration_id}"


def evaluation(evaluation_id: str) -> str:
    return f"evaluation:{evaluation_id}"


def validation(validation_id: str) -> str:
    return f"validation:{validation_id}"


def certificate(certificate_number: str) -> str:
    """Numbers are unique without case (A4)."""
    return f"certificate:{certificate_number.lower()}"


def jury(jury_id: str) -> str:
    return f"jury:{jury_id}"


__all__ = [
    "REFERENCE",
    "UNSET",
    "CertificateNumber",
    "Fact",
    "FicheCode",
    "Label",
    "Level",
    "Part",
    "Positive",
    "Reference",
    "Region",
    "RomeCode",
    "Sha256",
    "Slug",
    "UnsetType",
    "Uuid",
    "date",
]
