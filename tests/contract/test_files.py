"""The contracts as files are what the code says, and the OpenAPI document is one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.contract_files import CONTRACTS, ship, shipped_schemas, stale, write
from services.registry.http.cloudevents import BATCH, NDJSON, STRUCTURED
from tests.contract.test_examples import POSTED, example, posted_part


def test_every_file_is_fresh() -> None:
    """In a process of its own: an application counts its metrics once for each."""
    check = [sys.executable, "-W", "error", "-m", "services.contract_files", "--check"]
    done = subprocess.run(check, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_document_is_valid_openapi() -> None:
    document = json.loads((CONTRACTS / "openapi.json").read_text())
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_describes_every_form_of_posting_events() -> None:
    document = json.loads((CONTRACTS / "openapi.json").read_text())
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    assert set(content) == {STRUCTURED, BATCH, NDJSON, "application/json"}
    one, batch = (
        Draft202012Validator(content[form]["schema"] | {"components": document["components"]})
        for form in (STRUCTURED, BATCH)
    )
    events = [posted_event(type_name) for type_name in POSTED]
    batch.validate(events)
    for event in events:
        one.validate(event)
        assert not one.is_valid(event | {"data": event["data"] | {"unknown": 1}})
        assert not one.is_valid(event | {"type": "certibranche.person.erased.v1"})


def posted_event(type_name: str) -> dict[str, Any]:
    """An example as its caller had posted it."""
    event = json.loads(example(type_name))
    kept = {name: event[name] for name in ("specversion", "id", "source", "type", "time")}
    return kept | {"data": posted_part(type_name)}


FILES = {"openapi.json": b"{}", "schemas/a.json": b'{"a":1}', "examples/a.json": b"{}"}


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    write(FILES, tmp_path)
    return tmp_path


def test_what_is_written_is_fresh(contracts: Path) -> None:
    assert stale(FILES, contracts) == []


def test_a_file_that_is_missing_differs_or_is_no_longer_made_is_stale(contracts: Path) -> None:
    files = {"openapi.json": b"{}", "schemas/a.json": b'{"a":2}', "problems.json": b"[]"}
    assert stale(files, contracts) == ["examples/a.json", "problems.json", "schemas/a.json"]
    write(files, contracts)
    assert stale(files, contracts) == []


def test_shipping_takes_todays_schemas_and_keeps_the_examples_of_before(contracts: Path) -> None:
    ship(FILES, contracts)
    ship({"schemas/a.json": b'{"a":2}', "examples/a.json": b"[]", "examples/b.json": b"[]"}, contracts)
    assert shipped_schemas(contracts) == {"a": {"a": 2}}
    assert (contracts / "shipped/examples/a.json").read_bytes() == b"{}"
    assert (contracts / "shipped/examples/b.json").read_bytes() == b"[]"
    assert not (contracts / "shipped/openapi.json").exists()
