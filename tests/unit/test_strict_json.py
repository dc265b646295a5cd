"""JSON as it is posted: what is quickly read is read as the careful way reads it."""

import json
from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from contracts.problems import Malformed
from services.registry.http import strict_json
from services.registry.http.strict_json import DEPTH_MAX

texts = st.text(st.characters(codec="utf-8"), max_size=5)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
spacing = st.sampled_from([(",", ":"), (", ", ": ")])


@for_any(value=values, separators=spacing, ascii_only=st.booleans())
def test_content_means_the_same_however_it_is_written(
    value: Any, separators: tuple[str, str], ascii_only: bool
) -> None:
    content = json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode()
    spaced = b" " + content
    try:
        expected = strict_json.parse(spaced)
    except Malformed:
        with pytest.raises(Malformed):
            strict_json.parse(content)
    else:
        assert repr(strict_json.parse(content)) == repr(expected)
        assert repr(strict_json.items(b"[" + content + b"]")) == repr(strict_json.items(b"[" + spaced + b"]"))


@pytest.mark.parametrize("number", [b"1.0", b"1e0", b"10e-1"])
def test_an_integer_may_be_written_as_a_fraction(number: bytes) -> None:
    assert repr(strict_json.parse(b'{"a":%b}' % number)) == "{'a': 1}"


@for_any(name=texts, values=st.tuples(scalars, scalars), before=st.dictionaries(texts, scalars, max_size=2))
def test_a_member_twice_is_refused_wherever_it_is(name: str, values: tuple[Any, Any], before: dict[str, Any]) -> None:
    members = [*before.items(), (name, values[0]), (name, values[1])]
    written = (f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members)
    content = b'{"data":{%b}}' % ",".join(written).encode()
    with pytest.raises(Malformed):
        strict_json.parse(content)
    twice, good = strict_json.items(b"[%b,1]" % content)
    assert isinstance(twice, Malformed)
    assert good == 1


@pytest.mark.parametrize("space", [b"", b" "])
def test_what_is_nested_too_deeply_is_refused_however_it_is_written(space: bytes) -> None:
    deepest = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    deeper = b"[" + deepest + b"]"
    assert strict_json.items(space + b"[%b,%b]" % (deepest, deeper))[0] == strict_json.parse(space + deepest)
    assert isinstance(strict_json.items(space + b"[%b,%b]" % (deepest, deeper))[1], Malformed)
    with pytest.raises(Malformed):
        strict_json.parse(space + deeper)
