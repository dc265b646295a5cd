"""The vault's ciphers: master keys wrap data keys, data keys seal identities, fingerprint keys find them again."""

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


class MasterKey:
    """Wraps the keys of the vault. `id`: 8 hexadecimal characters that tell it from others, and nothing about it."""

    def __init__(self, content: bytes) -> None:
        if len(content) != KEY_BYTES:
            raise ValueError(f"a master key of the vault has {KEY_BYTES} bytes, not {len(content)}")
        self._wrapping = _derived(content, b"certibranche vault wrapping v1")
        self.id = _derived(content, b"certibranche vault key id v1")[:4].hex()
        self.first_fingerprint_key = _derived(content, b"certibranche vault fingerprint v1")
        """What a vault begins with whose first master key this is."""

    def wrap(self, owner: str, key: bytes) -> bytes:
        """The key encrypted, and bound to its owner."""
        return seal(self._wrapping, owner, key)

    def unwrap(self, owner: str, wrapped: bytes) -> bytes:
        """The key again; raises cryptography's InvalidTag for another owner's, or another master key's."""
        return unseal(self._wrapping, owner, wrapped)


def new_key() -> bytes:
    """A key nobody knows."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, owner: str, content: bytes) -> bytes:
    """The content encrypted and bound to its owner (AES-256-GCM, the nonce before it)."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, owner.encode())


def unseal(key: bytes, owner: str, sealed: bytes) -> bytes:
    """The content again; raises cryptography's InvalidTag for another owner's, or another key's."""
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], owner.encode())


def fingerprint(key: bytes, purpose: bytes, content: bytes) -> bytes:
    """HMAC-SHA-256: tells equal contents, to nobody without the key."""
    return hmac.digest(key, purpose + b"\x00" + content, hashlib.sha256)


def commitment(salt: bytes, content: bytes) -> bytes:
    """What the log holds of an identity: HMAC-SHA-256 under a salt of 32 random bytes that stays in the vault."""
    return hmac.digest(salt, content, hashlib.sha256)


def _derived(master_key: bytes, info: bytes) -> bytes:
    """HKDF, RFC 5869."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(master_key)
