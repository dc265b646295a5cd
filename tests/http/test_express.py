"""A single post gets the same answer in the express lane and through the layers."""

from typing import Any

import httpx2
import pytest

from tests.installation import SCOPES, Installation, event, objective

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
THROUGH_THE_LAYERS = {"Prefer": "layers"}

OF_THE_REQUEST = {"x-request-id", "ratelimit", "date"}


def answered(answer: httpx2.Response) -> tuple[int, dict[str, str], Any]:
    """Status, headers and content, without what each request has of its own."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_THE_REQUEST}
    return answer.status_code, headers, answer.json()


POSTS = {
    "no form": b"{",
    "no event": b"[]",
    "unknown type": event("nothing.done", {}),
    "unknown member": event("objective.set", {"year": 2030, "beneficiaries": 1, "more": 1}),
    "refused by a rule": event(
        "equivalence.repealed",
        {"equivalence_id": "00000000-0000-0000-0000-000000000000", "effective_from": "2020-01-01"},
    ),
    "another scope": event("certificate.revoked", {}),
    "another source": objective() | {"source": "urn:other"},
}


@pytest.mark.parametrize("posted", POSTS.values(), ids=POSTS.keys())
async def test_a_refusal_is_the_same(installation: Installation, posted: Any) -> None:
    content = {"content": posted} if isinstance(posted, bytes) else {"json": posted}
    async with installation.client("catalogue:write", sources=["urn:certibranche:tests"]) as client:
        answers = [
            await client.post("/v1/events", headers=STRUCTURED | fields, **content)
            for fields in (THROUGH_THE_LAYERS, {}, THROUGH_THE_LAYERS)
        ]
    assert 400 <= answers[0].status_code < 500
    assert answered(answers[0]) == answered(answers[1]) == answered(answers[2])


async def test_a_receipt_is_the_same_the_first_time_and_again(installation: Installation) -> None:
    async with installation.client(*SCOPES) as client:
        await client.post("/v1/events", headers=STRUCTURED | THROUGH_THE_LAYERS, json=objective())
        found = []
        for first, second in (({}, THROUGH_THE_LAYERS), (THROUGH_THE_LAYERS, {})):
            posted = objective()
            answers = [
                await client.post("/v1/events", headers=STRUCTURED | more, json=posted) for more in (first, second)
            ]
            assert [answer.status_code for answer in answers] == [201, 200]
            assert answered(answers[0])[1:] == answered(answers[1])[1:]
            found.append(answered(answers[0])[1].keys())
    assert found[0] == found[1]
