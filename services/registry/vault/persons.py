"""Rows of the vault: persons, and how they are sealed and opened."""

import uuid
from collections.abc import Mapping
from typing import NamedTuple, Self

import asyncpg

from services.registry.vault.identity import Identity, nir_digits
from services.registry.vault.keys import new_key, unseal
from services.registry.vault.keys_in_use import (
    KeysInUse,
    Prints,
    open_identity,
    open_nir,
    seal_identity,
    seal_nir,
)
from services.registry.vault.ring import KeyRing, Wrapped


class Person(NamedTuple):
    """A row of `vault.person`. sealed and wrapped_key are None for one whose identity the vault has lost."""

    person_id: uuid.UUID
    fingerprint_version: int
    fingerprint: bytes | None
    nir_fingerprint: bytes | None
    fact_id: uuid.UUID
    commitment: bytes
    sealed: bytes | None
    wrapped_key: bytes | None
    wrapped_by: str
    requested_by: str
    sealed_nir: bytes | None = None
    recorded: bool = False
    kept_id: uuid.UUID | None = None

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(*(row[column] for column in cls._fields))

    @classmethod
    def new(cls, keys: KeysInUse, identity: Identity, requested_by: str) -> Self:
        """A person of this identity under a new random id, with a salt and a data key of their own."""
        person_id, data_key = uuid.uuid4(), new_key()
        sealed = seal_identity(data_key, str(person_id), identity)
        wrapped = keys.wrap(str(person_id), data_key)
        prints = keys.prints(identity, nir_digits(identity))[keys.latest]
        return cls(
            person_id=person_id,
            fingerprint_version=keys.latest,
            fingerprint=prints.fingerprint,
            nir_fingerprint=prints.nir_fingerprint,
            fact_id=uuid.uuid4(),
            commitment=sealed.commitment,
            sealed=sealed.content,
            wrapped_key=wrapped.key,
            wrapped_by=wrapped.by,
            requested_by=requested_by,
        )

    @property
    def known_as(self) -> uuid.UUID:
        return self.kept_id or self.person_id

    def is_of(self, prints: Mapping[int, Prints]) -> bool:
        """Whether an identity that is alike is this person's: two different NIR are two persons."""
        nir_fingerprint = prints[self.fingerprint_version].nir_fingerprint
        return nir_fingerprint is None or self.nir_fingerprint in (None, nir_fingerprint)

    def has_the_nir_of(self, prints: Mapping[int, Prints]) -> bool:
        """Whether both have the same NIR, or none."""
        return self.nir_fingerprint == prints[self.fingerprint_version].nir_fingerprint

    def data_key(self, ring: KeyRing) -> bytes | None:
        """None for one whose identity the vault has lost. Raises MasterKeyMissing."""
        if self.wrapped_key is None:
            return None
        return ring.unwrap(str(self.person_id), Wrapped(self.wrapped_key, self.wrapped_by))

    def given_nir(self, ring: KeyRing, nir: bytes, prints: Mapping[int, Prints]) -> Self:
        """The person with a NIR that was given after the registration."""
        data_key = self.data_key(ring)
        assert data_key is not None
        return self._replace(
            nir_fingerprint=prints[self.fingerprint_version].nir_fingerprint,
            sealed_nir=seal_nir(data_key, str(self.person_id), nir),
        )

    def unsealed(self, ring: KeyRing) -> bytes | None:
        """What opens the commitment: the salt, 32 bytes, then the identity. None when the vault has lost it."""
        data_key = self.data_key(ring)
        return None if data_key is None or self.sealed is None else unseal(data_key, str(self.person_id), self.sealed)

    def opened(self, ring: KeyRing) -> "Opened | None":
        """Who it is; None when the vault has lost it. Raises MasterKeyMissing."""
        data_key = self.data_key(ring)
        if data_key is None or self.sealed is None:
            return None
        later = None if self.sealed_nir is None else open_nir(data_key, str(self.person_id), self.sealed_nir)
        return Opened(open_identity(data_key, str(self.person_id), self.sealed), later)


class Opened(NamedTuple):
    """An identity, and the 13 characters of a NIR that was given after the registration."""

    identity: Identity
    later_nir: bytes | None

    @property
    def nir(self) -> bytes | None:
        return nir_digits(self.identity) or self.later_nir
