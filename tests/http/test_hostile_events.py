"""Events and persons that Hypothesis spoils: no 5xx, one outcome in every form, and answers that give nothing away.

`make fuzz` tries many more.
"""

import os
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.installation import SCOPES, Installation, certification, event, objective, person

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
tried = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES <= 30,
    database=None,
    suppress_health_check=list(HealthCheck),
)

INSIDES = re.compile(
    rb"Traceback|asyncpg|psycopg|msgspec|litestar|SELECT |INSERT |UPDATE |relation \"|\.py\b|/services/|0x7f"
)
"""What only our own code, its libraries or SQL would say."""

NUMBERS = (b"1e400", b"-0", b"1E+2", b"9" * 400, b"1" * 5_000, b"0.1", b"1e-400", b"NaN", b"-Infinity", b"01", b"0x1")
STRINGS = (b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"' + b"x" * 70_000 + b'"', b'"\xff"', b'"\xed\xa0\x80"')
NESTED = (b"[" * 500 + b"]" * 500, b'{"a":' * 500 + b"1" + b"}" * 500, b"[" * 50_000)
SYNTAX = (b"{}{}", b"\xef\xbb\xbf{}", b"[1,]", b"'a'", b"//", b"\x00", b"True", b"undefined", b"")
RAW = st.sampled_from((*NUMBERS, *STRINGS, *NESTED, *SYNTAX))
"""JSON that is huge, deep, or none."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HOLE = "hole-to-fill"


@pytest.fixture(scope="module")
def registry(installation: Installation) -> Iterator[httpx2.Client]:
    """A client without a loop: Hypothesis calls it many times in one test."""
    headers = {"Authorization": f"Bearer {installation.token(*SCOPES, client_id='fuzz')}"}
    with httpx2.Client(base_url=installation.url, headers=headers, timeout=30) as client:
        yield client


def checked(answer: httpx2.Response) -> httpx2.Response:
    """The answer, which must be neither a failure nor tell of our insides."""
    assert answer.status_code < 500, answer.text
    assert not INSIDES.search(answer.content), answer.text
    assert answer.status_code < 400 or answer.headers["content-type"] == "application/problem+json"
    return answer


@st.composite
def spoilt(draw: st.DrawFn, whole: dict[str, Any]) -> bytes:
    """The object with one member, at any depth, replaced, given twice, or joined by another."""
    where, names = whole, list[str]()
    while True:
        names.append(draw(st.sampled_from(sorted(where))))
        if not isinstance(where[names[-1]], dict) or draw(st.booleans()):
            break
        where = where[names[-1]]
    content = draw(JSON.map(msgspec.json.encode) | RAW)
    way = draw(st.sampled_from(("replace", "twice", "join", "leave out")))
    place, name = where, names[-1]
    old = place.pop(name)
    try:
        if way == "leave out":
            return msgspec.json.encode(whole)
        place[HOLE] = HOLE
        encoded = msgspec.json.encode(whole)
    finally:
        place.pop(HOLE, None)
        place[name] = old
    key, kept = msgspec.json.encode(name), msgspec.json.encode(old)
    other = msgspec.json.encode(draw(st.text(max_size=8)))
    filling = {
        "replace": key + b":" + content,
        "twice": key + b":" + kept + b"," + key + b":" + content,
        "join": key + b":" + kept + b"," + other + b":" + content,
    }[way]
    return encoded.replace(b'"%b":"%b"' % (HOLE.encode(), HOLE.encode()), filling)


def posted() -> st.SearchStrategy[bytes]:
    """A spoilt event, under a fresh id: of the simplest kind, or of one with many members."""
    return st.one_of(st.deferred(lambda: spoilt(objective())), st.deferred(lambda: spoilt(published())))


def published() -> dict[str, Any]:
    return event("certification.published", certification(rncp=FICHE))


FICHE = {"code": "RNCP1", "registered_from": "2020-01-01", "registered_until": "2025-01-01"}


@tried
@given(posted())
def test_a_spoilt_event_has_one_outcome_in_every_form(registry: httpx2.Client, content: bytes) -> None:
    single = checked(post(registry, "application/cloudevents+json", content))
    line = b"".join(content.splitlines())
    ndjson = checked(post(registry, "application/x-ndjson", line + b"\n"))
    assert ndjson.status_code == 200
    (result,) = map(msgspec.json.decode, ndjson.content.splitlines()) if line else ({"status": 400},)
    if line == content:
        assert same(single.status_code, result["status"])
    batch = checked(post(registry, "application/cloudevents-batch+json", b"[" + content + b"]"))
    if batch.status_code == 200 and len(results := batch.json()["results"]) == 1:
        assert same(single.status_code, results[0]["status"])


def same(first: int, later: int) -> bool:
    """Recorded and recorded before are one outcome."""
    return first == later or {first, later} == {201, 200}


def post(registry: httpx2.Client, media_type: str, content: bytes) -> httpx2.Response:
    return registry.post("/v1/events", content=content, headers={"Content-Type": media_type})


MEDIA_TYPES = st.sampled_from(
    (
        "application/cloudevents+json",
        "APPLICATION/CLOUDEVENTS+JSON",
        "application/cloudevents+json; charset=utf-16",
        'application/cloudevents+json; charset="utf-8"',
        "application/cloudevents+json;charset=utf-8;charset=latin-1",
        "application/cloudevents+json, application/x-ndjson",
        "application/cloudevents-batch+json",
        "application/x-ndjson",
        "application/json",
        "application/vnd.x+json",
        "application/;",
        ";",
        "multipart/form-data; boundary=x",
        "text/plain",
    )
)


@tried
@given(MEDIA_TYPES, posted() | st.binary(max_size=200), st.sampled_from(("", "?atomic=true", "?atomic=2", "?x")))
def test_any_bytes_under_any_media_type_are_answered(
    registry: httpx2.Client, media_type: str, content: bytes, query: str
) -> None:
    headers = {"Content-Type": media_type}
    checked(registry.post(f"/v1/events{query}", content=content, headers=headers))
    checked(registry.post(f"/v1/persons{query}", content=content, headers=headers))


VALUES = st.sampled_from(
    (
        b"%00",
        b"%",
        b"%zz",
        b"%ed%a0%80",
        b"%ff",
        b"\xff",
        b'"quoted"',
        b'"',
        b"x" * 2_000,
        b"%22",
        b"1.0",
        b"a%0d%0ab",
    )
)


@tried
@given(st.lists(st.tuples(st.sampled_from(("id", "source", "type", "time", "specversion", "data", "", "x")), VALUES)))
def test_any_headers_of_binary_mode_are_answered(registry: httpx2.Client, changes: list[tuple[str, bytes]]) -> None:
    whole = {name: str(value).encode() for name, value in objective().items() if name != "data"}
    headers = [(b"content-type", b"application/json"), *((b"ce-" + name.encode(), whole[name]) for name in whole)]
    spoiling = [(b"ce-" + name.encode(), value) for name, value in changes]
    content = b'{"year":9999,"beneficiaries":1}'
    answer = checked(registry.post("/v1/events", content=content, headers=[*headers, *spoiling]))
    if any(name in (b"ce-id", b"ce-source", b"ce-type", b"ce-specversion") for name, _ in spoiling):
        assert answer.status_code == 400, "an attribute is given twice"


def test_a_header_of_binary_mode_that_is_given_twice_is_refused(registry: httpx2.Client) -> None:
    whole = [(f"ce-{name}", str(value)) for name, value in objective().items() if name != "data"]
    headers = [("Content-Type", "application/json"), *whole, ("CE-ID", str(uuid4()))]
    answer = registry.post("/v1/events", content=b'{"year":9999,"beneficiaries":1}', headers=headers)
    assert answer.status_code == 400
    assert "ce-id" in answer.json()["detail"]


SECRET = "geheimrat"


@tried
@given(st.deferred(lambda: spoilt(person(birth_name=SECRET, usual_name=SECRET, email=f"{SECRET}@example.org"))))
def test_what_is_said_of_a_spoilt_identity_names_nobody(registry: httpx2.Client, content: bytes) -> None:
    answer = checked(registry.post("/v1/persons", content=content, headers={"Content-Type": "application/json"}))
    assert SECRET not in answer.text.lower()
    line = b"".join(content.splitlines()) or b"{}"
    answer = checked(registry.post("/v1/persons", content=line, headers={"Content-Type": "application/x-ndjson"}))
    assert SECRET not in answer.text.lower()


def test_a_batch_of_nothing_but_nesting_is_refused(registry: httpx2.Client) -> None:
    for content in (b"[" * 1_000_000, b'[{"a":' * 100_000, b"[" * 900 + b"]" * 900):
        assert checked(post(registry, "application/cloudevents-batch+json", content)).status_code in (200, 400)
