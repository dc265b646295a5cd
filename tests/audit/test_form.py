"""Entries that are hashed and signed, but are not as section 6 of the contract says."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import Fact
from tests.audit.history import DAY, Published, audited, check_of, entries_of, found, objectives, stored
from tests.domain.world import PERSONS

FACTS: list[Fact] = [PERSONS[0], *objectives(4)]
LOG = entries_of(FACTS)
PLACE = 3


def rewritten(entry: bytes, **members: Any) -> bytes:
    """The entry in the right form, with other attributes; None leaves one out."""
    event = {name: value for name, value in (json.loads(entry) | members).items() if value is not None}
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def attribute(**members: Any) -> Callable[[bytes], bytes]:
    return lambda entry: rewritten(entry, **members)


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda entry: entry.replace(old, new)


def report_with(place: Path, changed: dict[int, Callable[[bytes], bytes]]) -> Any:
    entries = [changed.get(position, bytes)(entry) for position, entry in enumerate(LOG, 1)]
    return audited(Published(place / "log", entries).folder, entries=True)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("not-canonical", replaced(b'{"authid"', b'{ "authid"')),
        ("not-canonical", replaced(b'"tests"', b'"te\\u0073ts"')),
        ("not-canonical", lambda entry: json.dumps(json.loads(entry)).encode()),
        ("not-canonical", attribute(colour="red")),
        ("not-an-event", attribute(data={"year": 2020, "beneficiaries": 0})),
        ("not-an-event", attribute(data={"year": 2020, "beneficiaries": 1, "hue": 1})),
        ("not-an-event", attribute(data={"year": 2020, "beneficiaries": 1, "decision_ref": None})),
        ("not-an-event", attribute(sequence=None)),
        ("not-an-event", lambda entry: entry[:-1]),
        ("not-an-event", lambda _: b"\xff"),
        ("type-unknown", attribute(type="certibranche.objective.reached.v1")),
        ("sequence-wrong", attribute(sequence=f"{PLACE + 1:019d}")),
        ("sequence-wrong", attribute(sequence=str(PLACE))),
        ("subject-wrong", attribute(subject="cqpm-1")),
        ("attribute-wrong", attribute(specversion="1.1")),
        ("attribute-wrong", attribute(id="")),
        ("attribute-wrong", attribute(time="yesterday")),
        ("attribute-wrong", attribute(traceparent="a\nb")),
        ("attribute-wrong", attribute(datacontenttype="text/plain")),
        ("attribute-wrong", attribute(authid="")),
        ("attribute-wrong", attribute(authtype="system")),
        ("attribute-wrong", attribute(recordedtime="2024-06-15T12:00:00Z")),
        ("attribute-wrong", attribute(recordedtime="2024-06-31T12:00:00.000000Z")),
        ("time-goes-back", attribute(recordedtime="2024-06-14T12:00:00.000000Z")),
    ],
)
def test_a_form_that_is_wrong_is_found(tmp_path: Path, what: str, change: Callable[[bytes], bytes]) -> None:
    report = report_with(tmp_path, {PLACE: change})
    of_form = [(kind, position) for check, kind, position in found(report) if check == "form"]
    assert (what, PLACE) in of_form
    assert {position for _, position in of_form} == {PLACE}
    assert not check_of(report, "entries").found


@pytest.mark.parametrize("members", [{"source": "urn:test"}, {"id": "1"}, {"authtype": "service_account"}])
def test_facts_made_by_the_registry_say_so(tmp_path: Path, members: dict[str, str]) -> None:
    report = report_with(tmp_path, {1: attribute(**members)})
    assert found(report) == [("form", "attribute-wrong", 1)]


def test_what_is_recorded_twice_is_found(tmp_path: Path) -> None:
    again = [stored(FACTS[1], 6, id=json.loads(LOG[1])["id"]), stored(FACTS[1], 7, source="urn:other")]
    report = audited(Published(tmp_path / "log", [*LOG, *again]).folder, entries=True)
    assert found(report) == [("form", "recorded-twice", 6)]
    (finding,) = check_of(report, "form").findings
    assert (finding.rule, finding.values) == ("I1", {"first": 2})


def test_what_is_recorded_twice_in_one_bundle_or_far_apart_is_found(tmp_path: Path) -> None:
    facts = objectives(600)
    entries = entries_of(facts)
    entries[599] = stored(facts[599], 600, id=json.loads(entries[0])["id"])
    report = audited(Published(tmp_path / "log", entries).folder, entries=True)
    assert found(report) == [("form", "recorded-twice", 600)]


def test_optional_attributes_and_a_time_of_their_own_are_right(tmp_path: Path) -> None:
    given = {"time": "2020-02-29T23:59:60+02:00", "correlationid": "c", "causationid": "d", "traceparent": "e"}
    entry = stored(FACTS[1], 6, DAY + timedelta(days=1), **given)
    assert found(audited(Published(tmp_path / "log", [*LOG, entry]).folder, entries=True)) == []


def test_findings_are_counted_when_there_are_too_many_to_keep(tmp_path: Path) -> None:
    entries = [replaced(b'{"authid"', b'{ "authid"')(entry) for entry in entries_of(objectives(150))]
    check = check_of(audited(Published(tmp_path / "log", entries).folder, entries=True), "form")
    assert (check.found, len(check.findings)) == (150, 100)
