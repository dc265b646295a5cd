"""CloudEvents as they are posted: what is quickly read is read as the careful way reads it."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from contracts.problems import Malformed, Problem
from services.registry.http import cloudevents, strict_json
from services.registry.http.cloudevents import PostedEvent, from_batch, from_content, from_json

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "urn:a",
    "type": "certibranche.objective.set.v1",
    "data": {"year": 2030, "beneficiaries": 1},
}
texts = st.text(st.characters(codec="utf-8"), max_size=4)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "id": texts,
        "source": texts,
        "type": texts,
        "specversion": st.sampled_from(["1.0", "0.3"]),
        "time": st.sampled_from(["2020-02-29T00:00:00Z", "2021-02-29T00:00:00Z", "soon", None]),
        "datacontenttype": st.sampled_from(["application/json", "application/a+json", "text/plain", None]),
        "subject": texts,
        "dataschema": texts,
        "traceparent": texts | st.none(),
        "correlationid": texts | st.integers(),
        "extension": scalars,
        "data_base64": texts,
        "data": st.dictionaries(texts, values, max_size=3) | scalars,
    },
)
ways = st.sampled_from([(",", ":"), (", ", ": ")])


def told(event: PostedEvent | Problem) -> str:
    """All that was read. Its form of RFC 8785, which the quick way alone gives, is looked at here."""
    if isinstance(event, Problem):
        return f"{type(event).__name__}: {event}"
    assert event.canonical in (None, strict_json.canonical(event.data))
    return repr(msgspec.structs.replace(event, canonical=None))


def read(content: bytes, way: Callable[[bytes], PostedEvent]) -> str:
    try:
        return told(way(content))
    except Problem as problem:
        return told(problem)


def carefully(content: bytes) -> PostedEvent:
    return from_json(strict_json.parse(content))


@for_any(given=attributes, separators=ways, ascii_only=st.booleans())
def test_an_event_means_the_same_however_it_is_written(
    given: dict[str, Any], separators: tuple[str, str], ascii_only: bool
) -> None:
    content = json.dumps(EVENT | given, separators=separators, ensure_ascii=ascii_only).encode()
    assert read(content, from_content) == read(content, carefully)


@for_any(given=st.lists(attributes, min_size=1, max_size=3), separators=ways)
def test_a_batch_holds_what_its_events_are_alone(given: list[dict[str, Any]], separators: tuple[str, str]) -> None:
    contents = [json.dumps(EVENT | more, separators=separators, ensure_ascii=False).encode() for more in given]
    batch = from_batch(b"[%b]" % separators[0].encode().join(contents))
    assert [told(event) for event in batch] == [read(content, carefully) for content in contents]


def test_nearly_every_event_is_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members in any order, of any of the names that CloudEvents has, with the letters of any language."""
    monkeypatch.setattr(cloudevents, "from_json", None)
    monkeypatch.setattr(strict_json, "parse", None)
    more = {"time": "2020-01-01T00:00:00Z", "traceparent": "00-a-b-01", "subject": "s"}
    more |= {"data": {"title": "Élève", "b": []}}
    one = msgspec.json.encode(dict(sorted((EVENT | more).items())))
    other = msgspec.json.encode(EVENT)
    assert [event.canonical for event in (from_content(one), from_content(other))] == [
        '{"b":[],"title":"Élève"}'.encode(),
        b'{"beneficiaries":1,"year":2030}',
    ]
    assert from_batch(b"[%b,%b]" % (one, other)) == [from_content(one), from_content(other)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"id":"1"', b'"id":"1","id":"1"'),
        (b'"id":"1"', b'"id":"1","subject":"","subject":""'),
        (b'"year":2030', b'"year":2030,"year":2030'),
        (b'"year":2030', b'"a":[{"b":1,"b":1}],"year":2030'),
        (b'"year":2030', b'"year":2030,"\\u0079ear":2030'),
        (b'"year":2030,', b'"a":1e9,"a":1,"year":2030,'),
        (b'"id":"1"', b'"id":"\xc2\x80"'),
        (b'"id":"1"', b'"id":"\\u0000"'),
        (b'"id":"1"', b'"id":"\\ud800"'),
        (b'"year"', b'"\xff"'),
        (b'"id":"1"', b'"id":"%b"' % (b"x" * 129)),
        (b'"id":"1"', b'"id":1'),
        (b'"id":"1"', b'"id":"1","time":"2021-02-29T00:00:00Z"'),
        (b'"id":"1"', b'"id":"1","traceparent":"\xc2\x80"'),
        (b'"id":"1"', b'"id":"1","data_base64":""'),
        (b"2030", b"[" * 63 + b"]" * 63),
        (b"2030", b"NaN"),
        (b'"1.0"', b'"1.1"'),
    ],
)
def test_what_is_wrong_with_an_event_is_found_alone_and_in_a_batch(old: bytes, new: bytes) -> None:
    good = msgspec.json.encode(EVENT)
    bad = good.replace(old, new)
    assert bad != good
    with pytest.raises(Malformed):
        from_content(bad)
    if b"\xff" not in bad and b"NaN" not in bad:  # these are wrong with the whole batch
        assert [isinstance(event, Malformed) for event in from_batch(b"[%b,%b]" % (bad, good))] == [True, False]
