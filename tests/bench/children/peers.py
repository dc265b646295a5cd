"""HTTP servers to compare with, in the product's own server stack.

Usage: python -m tests.bench.children.peers noop PORT | library PORT DATABASE_URL JWKS
"""

import asyncio
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.dcb.domain import Selector
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from contracts.envelope import decode
from contracts.facts import Fact, RegisterCandidate
from contracts.facts.fact import REFERENCE
from services.edge import server
from services.edge.keys import keys_at
from services.edge.problems import exception_handlers
from services.edge.tokens import Authenticator, Caller, caller_dependencies
from services.embedded.issuer import AUDIENCE, ISSUER
from services.log.proposal import Circumstances, Proposal, Recorded
from services.registry.domain.reference import Reference
from services.registry.http import strict_json
from services.registry.http.cloudevents import from_json
from services.registry.http.intake import proposal_of, receipt


@get("/health/live", sync_to_thread=False)
def live() -> None:
    """It runs."""


# Nothing: a Struct in, a Struct out


class Posted(msgspec.Struct):
    id: str
    source: str
    type: str
    specversion: str
    data: RegisterCandidate


class Answered(msgspec.Struct):
    id: str
    source: str
    type: str
    position: int
    data: RegisterCandidate


@post("/v1/events")
async def do_nothing(data: Posted) -> Answered:
    """What Litestar itself costs."""
    return Answered(data.id, data.source, data.type, 1, data.data)


def noop() -> Litestar:
    return Litestar([live, do_nothing], openapi_config=None, logging_config=None)


# The same handler on the library's recorder: token, form, boundary, rules, encoding, conditional append


def library(url: str, jwks: str) -> Litestar:
    keys = keys_at(jwks)
    return Litestar(
        [live, record],
        dependencies=dict(caller_dependencies),
        exception_handlers=exception_handlers,
        openapi_config=None,
        logging_config=None,
        state=State(
            {
                "authenticator": Authenticator(keys, issuer=ISSUER, audience=AUDIENCE),
                "decisions": Decisions(url),
            }
        ),
    )


class Decisions:
    """Our slices on the library's recorder, as it is used: read the boundary, decide, append on its condition.

    What the log promises beyond that is left out, in the recorder's favour: no uniqueness of source and id, and the
    position in the bytes is a guess.
    """

    def __init__(self, url: str) -> None:
        # imported here: the server that does nothing runs without psycopg
        from eventsourcing.dcb.postgres_tt import PostgresDCBRecorderTT

        from tests.bench.children.recorders import datastore

        self._recorder = PostgresDCBRecorderTT(datastore(url, overflow=32))
        self._began_at = datetime.now(UTC)
        stored = self._recorder.read(DCBQuery([DCBQueryItem(tags=[REFERENCE])]))
        placed = [(found.position, decode(found.event.data, found.event.type).data) for found in stored]
        self._reference = Reference().folded(placed)

    def record(self, proposal: Proposal) -> Recorded:
        """Decide and append, in the thread that calls. Raises the problem when it is refused."""
        now = datetime.now(UTC)
        decision = proposal.decide(Circumstances(now, self._began_at, self._reference))
        boundary = decision.consistency_boundary()
        query = _query([boundary] if isinstance(boundary, Selector) else boundary)
        read = self._recorder.read(query)
        for found in read:
            decision.last_known_position = found.position
            decode(found.event.data, found.event.type).data.fold_into(decision)
        decision.execute()
        (tagged,) = decision.collect_events()
        fact = tagged.decision
        entry = proposal.encode(fact, (read.head or 0) + 1, now)
        event = DCBEvent(fact.type_name(), entry, list(fact.tags()))
        position = self._recorder.append([event], DCBAppendCondition(query, read.head))
        return Recorded(position, fact.type_name(), entry, repeated=False)


def _query(selectors: Iterable[Selector]) -> DCBQuery:
    return DCBQuery(
        [
            DCBQueryItem([name for fact in _facts(selector) for name in fact.wire_names()], list(selector.tags))
            for selector in selectors
        ]
    )


def _facts(selector: Selector) -> Iterable[type[Fact]]:
    return cast("Iterable[type[Fact]]", selector.types)


@post("/v1/events", status_code=201)
async def record(request: Request[Any, Any, Any], caller: NamedDependency[Caller]) -> Response[bytes]:
    """A single event."""
    decisions: Decisions = request.app.state["decisions"]
    proposal = proposal_of(from_json(strict_json.parse(await request.body())), caller)
    recorded = await asyncio.to_thread(decisions.record, proposal)
    return Response(receipt(recorded), status_code=201, media_type="application/json")


def main(kind: str, port: str, *arguments: str) -> None:
    app = library(*arguments) if kind == "library" else noop()
    server.run(app, host="127.0.0.1", port=int(port), drain=asyncio.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
