"""The vault's keys: one data key for each person, wrapped by the master key, and keyed fingerprints."""

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


class VaultKeys:
    """What the master key gives: a key that wraps data keys, and a key for fingerprints (HKDF, RFC 5869)."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != KEY_BYTES:
            raise ValueError(f"the vault's master key has {KEY_BYTES} bytes, not {len(master_key)}")
        self._wrapping = AESGCM(_derived(master_key, b"certibranche vault wrapping v1"))
        self._fingerprinting = _derived(master_key, b"certibranche vault fingerprint v1")

    def fingerprint(self, purpose: bytes, content: bytes) -> bytes:
        """HMAC-SHA-256: tells equal contents, to nobody without the key."""
        return hmac.digest(self._fingerprinting, purpose + b"\x00" + content, hashlib.sha256)

    def seal(self, person_id: str, content: bytes) -> tuple[bytes, bytes]:
        """The content encrypted with a new data key, and that key wrapped. Both are bound to the person (AES-GCM)."""
        data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
        return _encrypt(AESGCM(data_key), person_id, content), _encrypt(self._wrapping, person_id, data_key)

    def open(self, person_id: str, sealed: bytes, wrapped_key: bytes) -> bytes:
        """The content again; raises cryptography's InvalidTag for another person's, or another master key."""
        return _decrypt(AESGCM(_decrypt(self._wrapping, person_id, wrapped_key)), person_id, sealed)


def _derived(master_key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(master_key)


def _encrypt(cipher: AESGCM, person_id: str, content: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, person_id.encode())


def _decrypt(cipher: AESGCM, person_id: str, sealed: bytes) -> bytes:
    return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], person_id.encode())


def commitment(salt: bytes, content: bytes) -> bytes:
    """What the log holds of an identity: HMAC-SHA-256 under a salt of 32 random bytes that stays in the vault."""
    return hmac.digest(salt, content, hashlib.sha256)
