"""Rule I1 by the stored bytes alone: what was posted repeats the fact, whatever was left to the registry."""

import json
from itertools import chain, combinations
from typing import Any

import msgspec
import pytest

from contracts.examples import EXAMPLES
from contracts.facts import FACTS, Fact, Part
from services.registry.domain.certificates import CertificateToAward
from services.registry.domain.persons import PersonsToMerge, PersonToErase, PersonToRectify, PersonToRegister
from services.registry.repeats import repeats

POSTED = sorted(name for name, fact_type in FACTS.items() if fact_type.posted is not None)
DERIVED = {
    "certibranche.candidate.registered.v1": ["branch", "version"],
    "certibranche.certificate.awarded.v1": ["certificate_number"],
}
"""Members that a caller may leave to the registry, which then derives them."""


def entry(type_name: str) -> bytes:
    return EXAMPLES[type_name]


def posted(type_name: str) -> dict[str, Any]:
    """All of an example that a caller can have posted."""
    data: dict[str, Any] = json.loads(entry(type_name))["data"]
    form = FACTS[type_name].posted
    assert form is not None
    return {name: value for name, value in data.items() if name in form.__struct_fields__}


def command(type_name: str, data: dict[str, Any]) -> Part:
    form = FACTS[type_name].posted
    assert form is not None
    part = msgspec.convert(data, form)
    awards = type_name == "certibranche.certificate.awarded.v1"
    return CertificateToAward(award=part, draws=("00000000",)) if awards else part  # type: ignore[arg-type]


@pytest.mark.parametrize("type_name", POSTED)
def test_what_was_posted_is_a_repeat_whether_derived_members_were_given_or_not(type_name: str) -> None:
    data, derived = posted(type_name), DERIVED.get(type_name, [])
    for left_out in chain.from_iterable(combinations(derived, count) for count in range(len(derived) + 1)):
        said = {name: value for name, value in data.items() if name not in left_out}
        assert len(said) == len(data) - len(left_out)
        assert repeats(command(type_name, said), entry(type_name)), left_out


def test_a_default_is_the_same_written_out_or_not() -> None:
    type_name = "certibranche.certification.published.v1"
    stored = json.loads(entry(type_name))
    fiche = stored["data"]["rncp"] | {"routes": [], "bloc_codes": {}}
    stored["data"] |= {"branches": ["metallurgie"], "rome": [], "rncp": fiche}
    written_out = stored["data"]
    left_out = {name: value for name, value in written_out.items() if name not in ("branches", "rome")}
    left_out["rncp"] = {name: value for name, value in fiche.items() if name not in ("routes", "bloc_codes")}
    for data in (written_out, left_out):
        assert repeats(command(type_name, data), msgspec.json.encode(stored))
    assert not repeats(command(type_name, left_out | {"rome": ["H2903"]}), msgspec.json.encode(stored))


@pytest.mark.parametrize("type_name", POSTED)
def test_any_other_value_is_no_repeat(type_name: str) -> None:
    data = posted(type_name)
    form = FACTS[type_name].posted
    assert form is not None
    for name in data:
        for other in others(data[name]):
            try:
                said = command(type_name, data | {name: other})
            except msgspec.ValidationError:
                continue
            assert not repeats(said, entry(type_name)), (name, other)


@pytest.mark.parametrize("type_name", POSTED)
def test_a_member_too_few_or_too_many_is_no_repeat(type_name: str) -> None:
    """Optional members that the registry does not complete."""
    form, fact = FACTS[type_name].posted, FACTS[type_name]
    assert form is not None
    data = posted(type_name)
    completed = {field.name for field in msgspec.structs.fields(fact) if field.required}
    for field in msgspec.structs.fields(form):
        if field.required or field.name in completed or field.default is not msgspec.UNSET or field.name not in data:
            continue
        less = {name: value for name, value in data.items() if name != field.name}
        assert not repeats(command(type_name, less), entry(type_name)), field.name
        stored = json.loads(entry(type_name))
        del stored["data"][field.name]
        assert not repeats(command(type_name, data), msgspec.json.encode(stored)), field.name


def others(value: Any) -> list[Any]:
    """Values of the same form."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1]
        case str():
            changed = [value + "x", value.replace("0", "1"), value[:-1] + ("1" if value[-1] == "0" else "0")]
            return [other for other in changed if other != value]
        case list():
            return [value[:-1], value + value[:1], [*others(value[0])[:1], *value[1:]]]
        case dict():
            return [value | {name: other} for name in value for other in others(value[name])]
    return []


MADE: list[tuple[type[Part], str]] = [
    (PersonToRegister, "certibranche.person.registered.v1"),
    (PersonToRectify, "certibranche.person.rectified.v1"),
    (PersonsToMerge, "certibranche.persons.merged.v1"),
    (PersonToErase, "certibranche.person.erased.v1"),
]


@pytest.mark.parametrize(("form", "type_name"), MADE)
def test_what_the_registry_makes_itself_is_compared_the_same_way(form: type[Part], type_name: str) -> None:
    data = json.loads(entry(type_name))["data"]
    assert repeats(msgspec.convert(data, form), entry(type_name))
    for name in data:
        assert not repeats(msgspec.convert(data | {name: "0" * 64}, form), entry(type_name))


def test_members_of_the_same_name_do_not_make_another_type_a_repeat() -> None:
    registered = entry("certibranche.person.registered.v1")
    data = json.loads(registered)["data"]
    assert repeats(msgspec.convert(data, PersonToRegister), registered)
    assert not repeats(msgspec.convert(data, PersonToRectify), registered)


def test_every_command_is_known() -> None:
    facts: set[type[Fact]] = {FACTS[type_name] for _, type_name in MADE} | {FACTS[type_name] for type_name in POSTED}
    assert facts == set(FACTS.values())
