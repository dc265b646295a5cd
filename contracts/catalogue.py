"""Every problem the registry answers with, and the rules under which: what `/problems/<slug>` tells."""

from collections.abc import Iterator
from typing import NamedTuple

from contracts import problems, refusals
from contracts.problems import Problem
from contracts.rules import RULES


class Entry(NamedTuple):
    """A kind of problem. `rules`: numbers and texts of the rules under which a request gets it."""

    slug: str
    title: str
    status: int
    meaning: str
    rules: dict[str, str]


def _kinds(kind: type[Problem]) -> Iterator[type[Problem]]:
    if "slug" in vars(kind):
        yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def _entry(kind: type[Problem]) -> Entry:
    rules = getattr(kind, "rules", ("I1",) if kind is problems.IdempotencyConflict else ())
    meaning = kind.__doc__ if "__doc__" in vars(kind) else None
    return Entry(kind.slug, kind.title, kind.status, meaning or "", {rule: RULES[rule] for rule in rules})


PROBLEMS: dict[str, Entry] = {
    kind.slug: _entry(kind)
    for module in (problems, refusals)
    for kind in _kinds(Problem)
    if kind.__module__ == module.__name__
}
"""Every kind of problem by its slug."""
