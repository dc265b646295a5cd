"""The log against the eventsourcing library: its own test case, and its in-memory recorder as an oracle."""

from collections.abc import Iterator

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem, DCBRecorder
from eventsourcing.dcb.popo import InMemoryDCBRecorder
from eventsourcing.dcb.tests import DCBRecorderTestCase
from eventsourcing.persistence import IntegrityError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.log.recorder import LogRecorder


@pytest.fixture
def recorder(log_url: str) -> Iterator[LogRecorder]:
    recorder = LogRecorder(log_url)
    yield recorder
    recorder.close()


def test_the_librarys_append_and_read_case(recorder: LogRecorder) -> None:
    DCBRecorderTestCase()._test_append_read(recorder)


def test_the_librarys_append_and_subscribe_case(recorder: LogRecorder) -> None:
    DCBRecorderTestCase()._test_append_subscribe(recorder)


tags = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True)
types = st.lists(st.sampled_from(["t1", "t2", "t3"]), max_size=2, unique=True)
queries = st.lists(st.builds(DCBQueryItem, types=types, tags=tags), max_size=3).map(DCBQuery)
events = st.lists(
    st.builds(DCBEvent, type=st.sampled_from(["t1", "t2", "t3"]), data=st.binary(max_size=8), tags=tags),
    min_size=1,
    max_size=3,
)
afters = st.one_of(st.none(), st.integers(0, 12))
conditions = st.one_of(st.none(), st.builds(DCBAppendCondition, fail_if_events_match=queries, after=afters))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), events, conditions),
        st.tuples(st.just("read"), st.one_of(st.none(), queries), afters, st.one_of(st.none(), st.integers(0, 5))),
    ),
    max_size=12,
)


def test_random_reads_and_appends_are_as_in_memory(recorder: LogRecorder) -> None:
    """One log all along: what an example appends, the oracle holds too, behind the positions before it."""
    oracle = InMemoryDCBRecorder()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(steps)
    def play(steps: list[tuple[object, ...]]) -> None:
        for step in steps:
            assert outcome(recorder, step) == outcome(oracle, step)

    play()


def outcome(recorder: DCBRecorder, step: tuple[object, ...]) -> object:
    """What a recorder answers to a step, as values that compare."""
    match step:
        case ("append", new, condition):
            try:
                return recorder.append(new, condition)  # type: ignore[arg-type]
            except IntegrityError:
                return "refused"
        case ("read", query, after, limit):
            response = recorder.read(query, after=after, limit=limit)  # type: ignore[arg-type]
            found = [(e.position, e.event.type, e.event.data, sorted(e.event.tags)) for e in response]
            return found, response.head
        case _:
            raise AssertionError(step)
