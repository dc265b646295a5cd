"""Rule I1 for facts that were put back from their bytes: what was posted is not known by its hash then.

The stored data is what was posted, completed. So a command repeats a fact when every member it gives is there as given,
and what it leaves out is absent too, or such as the registry completes. That a default or a derived value was written
out the first time and is not now, or the other way round, cannot be told any more: it is the same fact.
"""

import msgspec
from msgspec import UNSET

from contracts.envelope import decode
from contracts.facts import FACTS, Fact, Part, PersonErased, PersonRectified, PersonRegistered, PersonsMerged
from services.registry.domain.certificates import CertificateToAward
from services.registry.domain.persons import PersonsToMerge, PersonToErase, PersonToRectify, PersonToRegister

_FACTS: dict[type[Part], type[Fact]] = {fact.posted: fact for fact in FACTS.values() if fact.posted is not None} | {
    PersonToRegister: PersonRegistered,
    PersonToRectify: PersonRectified,
    PersonsToMerge: PersonsMerged,
    PersonToErase: PersonErased,
}
"""The fact that each command leads to."""


def repeats(command: Part, entry: bytes) -> bool:
    """Whether the event of stored bytes is what this command says."""
    if isinstance(command, CertificateToAward):
        command = command.award
    fact = decode(entry).data
    if type(fact) is not _FACTS[type(command)]:
        return False
    completed = {field.name for field in msgspec.structs.fields(fact) if field.required}
    return all(_same(command, fact, member, member in completed) for member in command.__struct_fields__)


def _same(command: Part, fact: Fact, member: str, completed: bool) -> bool:
    """completed: the registry gives the member where it was not posted."""
    posted, stored = getattr(command, member), getattr(fact, member)
    return posted == stored or (posted is UNSET and completed)
