"""Bodies cut into lines, and results that wait for a slow reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.problems import TooLarge
from services.edge.ndjson import LINE_BYTES_MAX, Line, Splitter
from services.edge.spool import Spool


def lines_of(*parts: bytes) -> list[Line]:
    splitter = Splitter()
    return [line for part in parts for line in splitter.feed(part)] + splitter.finish()


@given(st.lists(st.text("ab \r\n").map(str.encode)))
def test_lines_are_the_same_however_the_body_is_cut(parts: list[bytes]) -> None:
    expected = [line.removesuffix(b"\r") for line in b"".join(parts).split(b"\n")]
    assert lines_of(*parts) == [line for line in expected if line.strip()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_may_have_a_mebibyte_and_no_more(end: bytes) -> None:
    longest = b"x" * LINE_BYTES_MAX
    assert lines_of(longest[:100], longest[100:] + end) == [longest]
    (refused,) = lines_of(longest, b"x" + end)
    assert isinstance(refused, TooLarge)
    (refused,) = lines_of(longest + b"x" + end)
    assert isinstance(refused, TooLarge)


def test_a_line_too_long_is_not_kept() -> None:
    splitter = Splitter()
    for _ in range(50):
        assert splitter.feed(b"x" * 100_000) == []
        assert len(splitter._tail) <= LINE_BYTES_MAX + 1
    refused, following = splitter.feed(b"x\nnext\n")
    assert isinstance(refused, TooLarge)
    assert following == b"next"
    assert json.loads(refused.encode())["status"] == 413


@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=200))))
def test_a_spool_gives_back_what_it_took_in_order(steps: list[bytes | None]) -> None:
    spool = Spool(memory_bytes_max=100)
    given_back = b""
    for step in steps:
        if step is None:
            given_back += spool.take()
        else:
            spool.put(step)
    while part := spool.take():
        given_back += part
    spool.close()
    assert given_back == b"".join(step for step in steps if step is not None)
