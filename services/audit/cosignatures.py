"""Witnesses: who has seen a checkpoint, and found that it continues the last one they saw (c2sp.org/tlog-cosignature).

A cosignature is a signature line: key id, seconds since 1970 in eight bytes, and an Ed25519 signature over the time
and the checkpoint's text.
"""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.projections.transparency.note import NAME, NoteRefused

COSIGNATURE = b"\x04"
_KEY = re.compile(rf"({NAME})\+([0-9a-f]{{8}})\+([A-Za-z0-9+/=]+)").fullmatch
_LINE = re.compile(rf"— ({NAME}) ([A-Za-z0-9+/=]+)").fullmatch
_PAYLOAD_BYTES = 4 + 8 + 64


class Witness:
    """A witness's public key, out of its verifier key `<name>+<id>+<base64 of 0x04 and the key>`."""

    def __init__(self, vkey: str) -> None:
        match = _KEY(vkey)
        content = _bytes(match[3]) if match else b""
        if match is None or content[:1] != COSIGNATURE or len(content) != 33:
            raise NoteRefused("this is no Ed25519 key of a witness")
        self.name = match[1]
        self.key_id = sha256(self.name.encode() + b"\n" + content).digest()[:4]
        if self.key_id.hex() != match[2]:
            raise NoteRefused("the witness key's id is not that of its name and key")
        self._key = Ed25519PublicKey.from_public_bytes(content[1:])

    def verify(self, text: str, payload: bytes) -> datetime | None:
        """When the witness has cosigned the checkpoint's text; None when it has not."""
        seconds = int.from_bytes(payload[4:12], "big")
        if len(payload) != _PAYLOAD_BYTES or seconds >= 2**38:  # the year 10 000 and later have no date here
            return None
        try:
            self._key.verify(payload[12:], f"cosignature/v1\ntime {seconds}\n{text}".encode())
            return datetime.fromtimestamp(seconds, UTC)
        except (InvalidSignature, ValueError):
            return None


def cosigned(note: str, witnesses: Sequence[Witness]) -> tuple[dict[str, datetime], list[str]]:
    """Which of the witnesses have cosigned the checkpoint and when, by name; and whose cosignature is wrong."""
    known = {(witness.name, witness.key_id): witness for witness in witnesses}
    text, _, lines = note.rpartition("\n\n")
    found: dict[str, datetime] = {}
    wrong: list[str] = []
    for line in lines.splitlines():
        match = _LINE(line)
        payload = _bytes(match[2]) if match else b""
        witness = known.get((match[1], payload[:4])) if match else None
        if witness is None:
            continue
        moment = witness.verify(f"{text}\n", payload)
        if moment is None:
            wrong.append(witness.name)
        else:
            found[witness.name] = moment
    return found, wrong


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
