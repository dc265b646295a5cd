"""Every fact decided again, on the log before it, on the day it was recorded: the log holds what the rules allow.

A fact is asked for as it was posted, without what the registry adds; the same fact must come out. What was posted and
what was added cannot always be told apart: a version, a branch or a certificate number that may be posted counts as
posted.
"""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any

import msgspec
from eventsourcing.dcb.domain import Slice
from msgspec import UNSET

from contracts.envelope import StoredEvent
from contracts.facts import (
    AwardCertificate,
    Fact,
    Part,
    PersonErased,
    PersonRectified,
    PersonRegistered,
    PersonsMerged,
)
from contracts.facts.fact import REFERENCE
from contracts.problems import Problem
from services.audit.findings import Finding
from services.audit.spool import Spool
from services.log.boundary import Boundary
from services.log.proposal import BUGS
from services.registry.domain import DECISIONS
from services.registry.domain.certificates import CertificateToAward
from services.registry.domain.circumstances import Circumstances
from services.registry.domain.persons import PersonsToMerge, PersonToErase, PersonToRectify, PersonToRegister
from services.registry.domain.reference import Reference
from services.registry.proposals import paris_day

FACTS_KEPT = 50_000
"""In memory, of the things that were decided about last."""

MADE_BY_THE_REGISTRY: dict[type[Fact], type[Part]] = {
    PersonRegistered: PersonToRegister,
    PersonRectified: PersonToRectify,
    PersonsMerged: PersonsToMerge,
    PersonErased: PersonToErase,
}


def command_of(fact: Fact) -> Part:
    """What brings this fact about, if the rules allow."""
    form = type(fact).posted or MADE_BY_THE_REGISTRY[type(fact)]
    command = form(**{name: getattr(fact, name) for name in form.__struct_fields__})
    if isinstance(command, AwardCertificate):
        return CertificateToAward(award=command, draws=())
    return command


class Rules:
    """Judges one event after the other. What it has judged must be added to the spool before `keep`."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._boundary = Boundary()
        self._layer = self._boundary.begin(assuming=False)
        self._first_day: date | None = None
        self._refused: dict[str, int] = {}
        self.reference = Reference()

    def judge(self, position: int, event: StoredEvent[Fact]) -> Iterator[Finding]:
        """What the rules say against the event. Whatever that is, it happened: later ones are judged after it."""
        fact, today = event.data, paris_day(event.recorded_at)
        self._first_day = self._first_day or today
        tags = fact.tags()
        broken = False
        for finding in self._decided(position, fact, Circumstances(today, self._first_day, self.reference)):
            broken = True
            yield self._with_cause(finding, tags)
        if broken:
            for tag in tags:
                if tag != REFERENCE:
                    self._refused.setdefault(tag, position)
        if REFERENCE in tags:
            self.reference = self.reference.folded([(position, fact)])
        self._boundary.add(position, fact, tags)

    def keep(self) -> None:
        """Forget what is not likely to be needed soon."""
        self._boundary.keep(self._layer, FACTS_KEPT)
        self._layer = self._boundary.begin(assuming=False)

    def _decided(self, position: int, fact: Fact, circumstances: Circumstances) -> Iterator[Finding]:
        try:
            command = command_of(fact)
            decided = self._decide(partial(DECISIONS[type(command)], command, circumstances))
        except Problem as refusal:
            yield Finding(
                what="rule-broken",
                says=f"The rules refuse this {fact.name}: {refusal.detail}",
                position=position,
                **({"rule": refusal.rule} if refusal.rule else {}),
                values=_plain(refusal.values | {"today": circumstances.today}),
            )
        except BUGS as error:
            said = f"This {fact.name} rests on what cannot be: {type(error).__name__} {error}"
            yield Finding(what="undecidable", says=said, position=position)
        else:
            if decided == fact:
                return
            for name in fact.__struct_fields__:
                recorded, derived = getattr(fact, name), getattr(decided, name)
                if recorded != derived:
                    yield Finding(
                        what="member-wrong",
                        says=f"{name} of this {fact.name} is not what the rules make of it.",
                        position=position,
                        values=_plain({"member": name, "recorded": recorded, "derived": derived}),
                    )

    def _decide(self, make: Callable[[], Slice[Fact]]) -> Fact:
        while (folded := self._boundary.fold(make)).missing:
            self._boundary.load(folded.missing, self._spool.facts(folded.missing))
        folded.slice.execute()
        (tagged,) = folded.slice.collect_events()
        decided: Fact = tagged.decision
        return decided

    def _with_cause(self, finding: Finding, tags: tuple[str, ...]) -> Finding:
        """The finding, with the first one that it may be a consequence of."""
        causes = [self._refused[tag] for tag in tags if tag in self._refused]
        if not causes:
            return finding
        return Finding(
            what=finding.what, says=finding.says, position=finding.position, rule=finding.rule,
            values={**finding.values, "may_follow_from": min(causes)},
        )  # fmt: skip


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them; without those that are not there."""
    plain: dict[str, Any] = msgspec.to_builtins(
        {name: value for name, value in values.items() if value is not None and value is not UNSET}
    )
    return plain
