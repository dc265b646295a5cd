"""Older versions of facts. Stored facts are never migrated: what reads them lifts them, version by version, to today's.

To publish v2 of a fact: keep the data of v1 here, whole, as a `Part` of its own; change the fact's class and set its
`type_version` to 2; enter the v1 type below with the function from one to the other. Types that were shipped stay for
ever, for the log holds them for ever.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from contracts.facts import Fact, Part


class Upcaster(NamedTuple):
    """How to read a version that is no longer recorded.

    form: its data, exactly as it was recorded.
    lift: the same data in the next version. Pure, and it invents nothing: what was not said then stays unsaid.
    """

    form: type[Part]
    lift: Callable[[Any], Part]


UPCASTERS: dict[str, Upcaster] = {}
"""By the CloudEvents `type` of the older version ("certibranche.jury.held.v1"). The last one of a fact gives the
fact itself, each other the `form` of the version after it."""


def upcast(type_name: str, data: Part) -> Fact:
    """Today's fact, from the data of an older version of that type."""
    while (upcaster := UPCASTERS.get(type_name)) is not None:
        data = upcaster.lift(data)
        type_name = following(type_name)
    assert isinstance(data, Fact), f"{type_name} has no upcaster, and is no fact of today"
    return data


def following(type_name: str) -> str:
    """The type of the next version."""
    stem, _, version = type_name.rpartition(".v")
    return f"{stem}.v{int(version) + 1}"
