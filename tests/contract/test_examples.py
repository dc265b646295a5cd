"""The golden examples: the stored bytes of each fact, judged by tools that know nothing of ours."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
import rfc8785
from jsonschema import Draft202012Validator, FormatChecker

from contracts.envelope import ENTRY_BYTES_MAX, Envelope, canonical, decode, encode
from contracts.examples import EXAMPLES
from contracts.facts import FACTS
from contracts.subjects import subject
from contracts.tags import filter_tags
from contracts.unchecked import event_of, fact_of
from services.contract_files import CONTRACTS

POSTED = [name for name, fact_type in FACTS.items() if fact_type.posted is not None]
LEAF_OF_AN_ERASURE = "eaefdc7dfecb476c4f3a3b12bc737ac47b38a87155523d856a88f5971b41415a"
every_type = pytest.mark.parametrize("type_name", FACTS)
every_posted_type = pytest.mark.parametrize("type_name", POSTED)


def example(type_name: str) -> bytes:
    return (CONTRACTS / "examples" / f"{type_name}.json").read_bytes()


def validator(schema: str) -> Draft202012Validator:
    """Of a published schema; the schema itself is checked first."""
    document = json.loads((CONTRACTS / "schemas" / f"{schema}.json").read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document, format_checker=FormatChecker())


def posted_part(type_name: str) -> dict[str, Any]:
    """What of an example's data a caller had posted, or could have."""
    data: dict[str, Any] = json.loads(example(type_name))["data"]
    posted = FACTS[type_name].posted
    assert posted is not None
    return {name: value for name, value in data.items() if name in posted.__struct_fields__}


def test_every_fact_has_one() -> None:
    assert sorted(EXAMPLES) == sorted(FACTS)


@every_type
def test_an_example_is_valid_under_its_schema(type_name: str) -> None:
    validator(type_name).validate(json.loads(example(type_name)))


@every_type
def test_an_example_is_canonical_json(type_name: str) -> None:
    assert rfc8785.dumps(json.loads(example(type_name))) == example(type_name)
    assert len(example(type_name)) <= ENTRY_BYTES_MAX


@every_type
def test_an_example_is_read_and_written_again_to_the_same_bytes(type_name: str) -> None:
    event = decode(example(type_name))
    assert type(event.data) is FACTS[type_name]
    envelope = Envelope(
        id=event.id,
        source=event.source,
        authid=event.authid,
        authtype=event.authtype,
        time=event.time,
        correlationid=event.correlationid,
        causationid=event.causationid,
        traceparent=event.traceparent,
    )
    assert encode(envelope, event.data, event.position, event.recorded_at) == example(type_name)


@every_type
def test_an_example_says_the_same_when_it_is_not_checked(type_name: str) -> None:
    entry = example(type_name)
    event = event_of(entry, type_name)
    assert isinstance(event.data, FACTS[type_name])
    assert canonical(event) == entry
    assert event.data.tags() == decode(entry).data.tags()
    assert json.loads(msgspec.json.encode(fact_of(entry, type_name))) == json.loads(entry)["data"]


@every_type
def test_bytes_of_another_type_are_none_of_this_one(type_name: str) -> None:
    entry = example(type_name).replace(b'"data":{', b'"data":{"unheard_of":1,')
    for read in (event_of, fact_of):
        with pytest.raises(msgspec.ValidationError):
            read(entry, type_name)


@every_type
def test_an_example_has_a_subject_and_its_tags(type_name: str) -> None:
    event = decode(example(type_name))
    assert subject(event).split(".", 3)[:2] == ["certibranche", "v1"]
    assert {tag for tag in event.data.tags() if tag != "reference"} <= filter_tags(event.data)


@every_posted_type
def test_what_was_posted_of_an_example_is_valid_under_the_posted_schema(type_name: str) -> None:
    validator(f"{type_name}.posted").validate(posted_part(type_name))


@every_posted_type
def test_a_posted_schema_refuses_what_it_does_not_know(type_name: str) -> None:
    assert not validator(f"{type_name}.posted").is_valid(posted_part(type_name) | {"unknown": 1})


@every_type
def test_a_schema_of_stored_events_lets_later_members_pass(type_name: str) -> None:
    event = json.loads(example(type_name))
    validator(type_name).validate(event | {"later": 1, "data": event["data"] | {"later": 1}})


@every_type
def test_a_schema_of_stored_events_wants_every_member_that_is_always_there(type_name: str) -> None:
    """And says what each of them holds."""
    event, judge = json.loads(example(type_name)), validator(type_name)
    optional = {"correlationid", "causationid", "traceparent"}
    for name in event.keys() - optional:
        assert not judge.is_valid({key: value for key, value in event.items() if key != name}), name
        assert not judge.is_valid(event | {name: 7}), name
    assert not judge.is_valid(event | {"type": "certibranche.other.thing.v1"})


def test_a_schema_never_shows_patterns_only_python_needs() -> None:
    schemas = list((CONTRACTS / "schemas").glob("*.json"))
    assert schemas
    assert not [path.name for path in schemas if "(?!" in path.read_text()]


def test_the_leaf_of_an_example_is_known() -> None:
    """So that another implementation can check how it hashes (section 6)."""
    entry = example("certibranche.person.erased.v1")
    assert hashlib.sha256(b"\x00" + entry).hexdigest() == LEAF_OF_AN_ERASURE
