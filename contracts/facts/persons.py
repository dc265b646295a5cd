"""Facts of persons. The registry makes them all; who the person is stays in the vault."""

from contracts.facts.fact import REFERENCE, Fact, Sha256, Uuid, person


class PersonRegistered(Fact, frozen=True, kw_only=True):
    """A person is known under a random id. The commitment is a salted HMAC-SHA-256 of the identity."""

    name = "person.registered"

    person_id: Uuid
    identity_commitment: Sha256

    def tags(self) -> tuple[str, ...]:
        return (person(self.person_id),)


class PersonRectified(Fact, frozen=True, kw_only=True):
    name = "person.rectified"

    person_id: Uuid
    identity_commitment: Sha256

    def tags(self) -> tuple[str, ...]:
        return (person(self.person_id),)


class PersonsMerged(Fact, frozen=True, kw_only=True):
    """Two ids were one person. From here on merged_id is another name of kept_id (M1)."""

    name = "persons.merged"

    kept_id: Uuid
    merged_id: Uuid

    def tags(self) -> tuple[str, ...]:
        return (person(self.kept_id), person(self.merged_id), REFERENCE)


class PersonErased(Fact, frozen=True, kw_only=True):
    """The identity is gone for ever; what the person was awarded stays true."""

    name = "person.erased"

    person_id: Uuid

    def tags(self) -> tuple[str, ...]:
        return (person(self.person_id),)
