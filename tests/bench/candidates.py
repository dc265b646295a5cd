"""What contestants record: registrations of generated persons, none refused, and events that mean nothing."""

import hashlib
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec
from eventsourcing.dcb.domain import Selector, Slice

from contracts.boundaries import Unused
from contracts.envelope import Envelope, encode
from contracts.facts import CandidateRegistered, Fact, RegisterCandidate
from contracts.facts import fact as tags
from services.log.proposal import Proposal
from services.registry.proposals import propose
from tests.bench.generated import CERTIFICATIONS, certification_id, person_id

SOURCE = "urn:bench:posted"


TURNS_BEFORE = 30
"""Turns that others may have had on the same log: where one begins is random, so that two rarely ask for the same."""


class Persons(msgspec.Struct, frozen=True):
    """Generated persons with so many events each: every `stride`-th from the first on."""

    first: int
    count: int
    events: int
    stride: int = 1

    def split(self, last: int) -> tuple["Persons", "Persons"]:
        """All but so many of the last, and these."""
        others = self.count - last
        return Persons(self.first, others, self.events), Persons(self.first + others, last, self.events)


class Candidates:
    """Registrations of persons in random order, each once a round, for another certification each round."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons
        self._numbers = [persons.first + n * persons.stride for n in range(persons.count)]
        random.shuffle(self._numbers)
        self._taken = 0
        self._first_turn = random.randrange(TURNS_BEFORE)

    def next(self, *, on: date = date(2020, 1, 1)) -> RegisterCandidate:
        """The next one. A person whose last event opened a registration has it for the certification before turn 0."""
        turn, place = divmod(self._taken, len(self._numbers))
        turn += self._first_turn
        self._taken += 1
        number = self._numbers[place]
        return RegisterCandidate(
            registration_id=str(uuid.uuid4()),
            person_id=person_id(number),
            certification_id=certification_id((number + self._persons.events + turn) % CERTIFICATIONS),
            target="CERTIFICATION",
            route="VAE",
            status="SALARIE",
            registered_on=on,
        )

    def proposal(self) -> Proposal:
        """The next one, to be recorded."""
        return _proposal(self.next())

    def refused(self) -> Proposal:
        """The next one, which is refused once its boundary is read and folded (R10: tomorrow)."""
        return _proposal(self.next(on=datetime.now(UTC).date() + timedelta(days=2)))


def _proposal(command: RegisterCandidate) -> Proposal:
    id_ = uuid.uuid4().hex
    return propose(command, Envelope(id=id_, source=SOURCE, authid="bench"), hashlib.sha256(id_.encode()).digest())


# Bare appends: the condition is one tag that no event has, the bytes are always the same.

_FACT = CandidateRegistered(
    registration_id=str(uuid.UUID(int=0)),
    person_id=str(uuid.UUID(int=0)),
    certification_id=certification_id(0),
    target="CERTIFICATION",
    route="VAE",
    status="SALARIE",
    registered_on=date(2020, 1, 1),
    version=1,
    branch="metallurgie",
    reporting_status="SALARIE",
    family="CQPM",
)
BARE_TYPE = CandidateRegistered.type_name()
BARE_ENTRY = encode(Envelope(id=uuid.UUID(int=0).hex, source=SOURCE, authid="bench"), _FACT, 1, datetime.now(UTC))
"""The stored bytes of a registration: what every contestant appends."""


def bare_tags() -> tuple[str, str]:
    """The tags of a bare append, fresh; the first is what its condition asks for."""
    return tags.registration(str(uuid.uuid4())), tags.person(str(uuid.uuid4()))


class Bare(Slice[Fact]):
    """Decides nothing: whatever its one tag has seen, it says the same."""

    def __init__(self, fact: CandidateRegistered) -> None:
        self.fact = fact

    def consistency_boundary(self) -> Sequence[Selector]:
        return [Unused(types=(CandidateRegistered,), tags=[self.fact.tags()[0]])]

    def execute(self) -> None:
        self.trigger_event(lambda: self.fact)


def bare() -> Proposal:
    """A conditional append without a decision in it."""
    fact = msgspec.structs.replace(_FACT, registration_id=str(uuid.uuid4()), person_id=str(uuid.uuid4()))
    key = uuid.uuid4().bytes * 2
    return Proposal(lambda _: Bare(fact), lambda *_: BARE_ENTRY, key, key)
