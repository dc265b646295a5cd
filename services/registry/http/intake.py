"""From a posted event to a proposal for the log, and from what is recorded to a receipt."""

import hashlib
import secrets

import msgspec

from contracts.envelope import Envelope
from contracts.facts import FACTS, AwardCertificate
from contracts.problems import NotPosted, Problem
from services.edge.problems import malformed
from services.edge.tokens import Caller
from services.log.proposal import Outcome, Proposal, Recorded
from services.registry.domain.certificate_number import ALPHABET, RANDOM_LENGTH
from services.registry.domain.certificates import CertificateToAward
from services.registry.http import strict_json
from services.registry.http.cloudevents import PostedEvent
from services.registry.proposals import propose

NUMBER_DRAWS = 4
"""Of 10¹² numbers a family and year, thirty thousand taken: four draws all taken never happens."""


def proposal_of(event: PostedEvent, caller: Caller) -> Proposal:
    """The proposal of a posted event; raises a Problem when the caller may not, or the data has not the right form."""
    fact_type = FACTS.get(event.type)
    if fact_type is None or fact_type.posted is None:
        raise NotPosted(f"Facts of the type {event.type[:80]} are not posted.", fact_type=event.type[:80])
    caller.require(fact_type.scope)
    caller.require_source(event.source)
    canonical = strict_json.canonical(event.data) if event.canonical is None else event.canonical
    content = hashlib.sha256(event.type.encode() + b"\x00" + canonical).digest()
    try:
        command = msgspec.convert(event.data, fact_type.posted)
    except msgspec.ValidationError as error:
        raise malformed(error) from error
    if isinstance(command, AwardCertificate):
        command = CertificateToAward(award=command, draws=tuple(_draw() for _ in range(NUMBER_DRAWS)))
    envelope = Envelope(
        id=event.id,
        source=event.source,
        authid=caller.client_id,
        time=event.time,
        correlationid=event.correlationid,
        causationid=event.causationid,
        traceparent=event.traceparent,
    )
    return propose(command, envelope, content, caller.organisers)


def _draw() -> str:
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in secrets.token_bytes(RANDOM_LENGTH))  # 32 divides 256


class _Stored(msgspec.Struct):
    id: str
    source: str
    type: str
    recordedtime: str
    data: msgspec.Raw


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a poster gets for a recorded event: its place, and the data as completed by the registry."""

    id: str
    source: str
    type: str
    position: int
    recorded_at: str
    data: msgspec.Raw


class Result(Receipt, frozen=True, kw_only=True):
    """A receipt among the results of many events: 201 when recorded, 200 when it was before."""

    status: int


_stored = msgspec.json.Decoder(_Stored)
_encoder = msgspec.json.Encoder()


def receipt(recorded: Recorded) -> bytes:
    stored = _stored.decode(recorded.entry)
    return _encoder.encode(
        Receipt(
            id=stored.id,
            source=stored.source,
            type=stored.type,
            position=recorded.position,
            recorded_at=stored.recordedtime,
            data=stored.data,
        )
    )


def result(outcome: Outcome) -> bytes:
    """A receipt with its status, or a problem, as JSON."""
    if isinstance(outcome, Problem):
        return outcome.encode()
    return b'%b,"status":%d}' % (receipt(outcome)[:-1], 200 if outcome.repeated else 201)
