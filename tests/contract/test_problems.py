"""The catalogue of problems, the rules and what the domain refuses are one."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import contracts
import services
from contracts.catalogue import PROBLEMS
from contracts.problems import Problem
from contracts.refusals import Refusal
from contracts.rules import RULES
from services.contract_files import CONTRACTS
from services.edge.problems import ClientGone
from tests.contract.raised import rules_in

SERVICES = Path(services.__file__ or "").parent


def kinds(kind: type[Problem]) -> Iterator[type[Problem]]:
    """The problems of this kind that the project can answer with."""
    if "slug" in vars(kind) and kind.__module__.partition(".")[0] in ("contracts", "services"):
        yield kind
    for narrower in kind.__subclasses__():
        yield from kinds(narrower)


@pytest.fixture(scope="module")
def known() -> list[type[Problem]]:
    """Every kind of problem, in whatever module it is."""
    for package in (contracts, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return [kind for kind in kinds(Problem) if kind is not ClientGone]  # the one that nobody is left to read


REFUSALS = {kind.__name__: kind for kind in kinds(Refusal)}
RAISED = rules_in(SERVICES, REFUSALS)


def test_the_catalogue_has_every_kind_of_problem_and_no_other(known: list[type[Problem]]) -> None:
    slugs = [kind.slug for kind in known]
    assert sorted(slugs) == sorted(PROBLEMS)


def test_the_catalogue_says_what_the_classes_say(known: list[type[Problem]]) -> None:
    assert {k.slug: (k.title, k.status) for k in known} == {e.slug: (e.title, e.status) for e in PROBLEMS.values()}


def test_problems_as_a_file_say_the_same() -> None:
    told = {entry["slug"]: entry for entry in msgspec.json.decode((CONTRACTS / "problems.json").read_bytes())}
    assert told == {slug: entry._asdict() for slug, entry in PROBLEMS.items()}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_every_rule_that_a_refusal_names_has_a_text(refusal: str) -> None:
    assert REFUSALS[refusal].rules
    assert not [rule for rule in REFUSALS[refusal].rules if not RULES.get(rule)]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_raised_under_the_rules_it_names_and_no_other(refusal: str) -> None:
    assert RAISED[refusal] == set(REFUSALS[refusal].rules)


def test_every_rule_that_can_refuse_has_a_refusal() -> None:
    """I1 is the log's own; the others say how something is counted or derived, which nothing can violate."""
    refused = {rule for kind in REFUSALS.values() for rule in kind.rules}
    assert set(RULES) - refused == {"I1", "O1", "R8", "R11", "V6", "B5"}
