"""Every operation of the OpenAPI document, called with what it allows and with what it does not.

The answers must have the statuses, media types and forms that the document tells. `make fuzz` tries many more.
"""

import os
import re
from typing import Any

import msgspec
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection

from services.contract_files import CONTRACTS
from services.registry.http.cloudevents import BATCH, NDJSON
from tests.installation import SCOPES, Installation, objective, post

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
LONG = EXAMPLES > 10

ACCEPTED = ["2xx", "404", "409", "410", "422"]
"""What may become of a request that has the right form: rules refuse, and random ids name nothing."""

REFUSED = ["400", "401", "403", "404", "405", "409", "410", "413", "415", "422"]

BEYOND_SCHEMAS = [
    "getBranchCounts",
    "getBranchCountsGrounds",
    "getConsistency",
    "listEntries",
    "postEvents",
    "postPersons",
    "rectifyPerson",
]
"""Operations that also refuse what their schemas cannot tell: parameters that exclude each other or are in the wrong
order, tags of no kind, days to come, binary mode without its headers."""

LONG_AGO, PAST = "1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
_TIME = re.compile("[0-9]{4}-[0-9]{2}-")

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 2018,
        "generation": {"max-examples": EXAMPLES, "deterministic": not LONG, "database": "none"},
        "phases": {"examples": {"enabled": False}, "coverage": {"enabled": LONG}, "fuzzing": {"enabled": True}},
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ACCEPTED},
            "negative_data_rejection": {"expected-statuses": REFUSED},
        },
        "operations": [
            {
                "include-operation-id": BEYOND_SCHEMAS,
                "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "400", "415"]}},
            }
        ],
    }
)
SCHEMA = schemathesis.openapi.from_path(CONTRACTS / "openapi.json", config=CONFIG)


@schemathesis.serializer(NDJSON)
def _lines(_context: Any, value: Any) -> bytes:
    """A stream of the one value."""
    return msgspec.json.encode(value) + b"\n"


@pytest_asyncio.fixture(scope="module")
async def token(installation: Installation) -> str:
    """A token that may do everything, and a log that has begun."""
    async with installation.client(*SCOPES) as client:
        assert (await post(client, objective())).status_code == 201
    return installation.token(*SCOPES, "persons:admin", "persons:erase", "ops:read", "access:read", client_id="fuzz")


@SCHEMA.parametrize()
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_documented(case: Any, installation: Installation, token: str) -> None:
    case.query = {name: _past(name, value) for name, value in (case.query or {}).items()}
    if "null" in str(case.query):
        return  # the text null is understood as a parameter that is not given
    case.call_and_validate(
        base_url=installation.url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
        excluded_checks=[negative_data_rejection] if _may_be_taken(case) else [],
    )


def _may_be_taken(case: Any) -> bool:
    """Whether what breaks the schemas is no reason to refuse the whole: each event of many has a result of its own, and
    parameters that nobody has heard of are passed over."""
    declared = {parameter.name.lower() for parameter in case.operation.iter_parameters()}
    given = {name.lower() for name in [*case.query, *(case.headers or {})]}
    return case.media_type in (BATCH, NDJSON) or not given <= declared


def _past(name: str, value: Any) -> Any:
    """No position that is yet to come, for the registry would wait for it, and then answer 503 as documented. Nor a
    time to come, or one so early that its day is none elsewhere on earth."""
    if name in ("min_position", "as_of"):
        if str(value).isdecimal():
            return min(int(value), 1)
        if _TIME.match(str(value)) and not LONG_AGO < str(value) < PAST:
            return PAST
    return value
