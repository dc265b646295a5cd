"""Signed notes, checkpoints and cosignatures, with Ed25519.

c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature (version 1).
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
COSIGNATURE = b"\x04"
"""The kind of a witness's key: its signatures say when, too."""
NAME = r"[^\s+]+"
_KEY = re.compile(rf"({NAME})\+([0-9a-f]{{8}})\+(\S+)").fullmatch
_SIGNATURE = re.compile(rf"— ({NAME}) (\S+)").fullmatch
_SIZE = re.compile("0|[1-9][0-9]{0,18}").fullmatch
_PRIVATE = "PRIVATE+KEY+"
SIGNATURES_MAX = 100
TIME_BYTES = 8


class NoteRefused(ValueError):
    """Not a note, not signed by whom it must be, or not what it should hold."""


class Checkpoint(NamedTuple):
    """What a log says of itself: how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


class Verifier:
    """A public key that signatures are checked against, out of a verifier key `<name>+<id>+<key>`.

    A log's, or a witness's: then `kind` is COSIGNATURE, and what it signs is a checkpoint at a time.
    """

    def __init__(self, vkey: str) -> None:
        self.vkey = vkey
        self.name, self.key_id, self.kind, self.public_key = _parse_key(vkey)
        if key_id_of(self.name, self.public_key, self.kind) != self.key_id:
            raise NoteRefused("the verifier key's id is not that of its name and key")
        self._key = Ed25519PublicKey.from_public_bytes(self.public_key)

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raise NoteRefused unless the text was signed with this key."""
        if self.kind == COSIGNATURE:
            time, signature = int.from_bytes(signature[:TIME_BYTES], "big"), signature[TIME_BYTES:]
            text = cosigned(text, time)
        try:
            self._key.verify(signature, text)
        except InvalidSignature:
            raise NoteRefused(f"the signature of {self.name} is wrong") from None


class Signer:
    """A private key, with the name that it signs as.

    key: `PRIVATE+KEY+<name>+<id>+<base64 of 0x01 and the seed>`, as Go's note package writes it. So a key is of one
    log: it cannot be used under another origin by mistake.
    """

    def __init__(self, key: str) -> None:
        self.name, key_id, kind, seed = _parse_key(key.removeprefix(_PRIVATE))
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public_key = self._key.public_key().public_bytes_raw()
        self._key_id = key_id_of(self.name, self._public_key)
        if not key.startswith(_PRIVATE) or key_id != self._key_id or kind != ED25519:
            raise NoteRefused("the signing key is damaged")

    @property
    def vkey(self) -> str:
        """The verifier key, for those who check."""
        return f"{self.name}+{self._key_id.hex()}+{_base64(ED25519 + self._public_key)}"

    def sign(self, text: str) -> str:
        """The signed note of a text that ends with a line's end."""
        signature = _base64(self._key_id + self._key.sign(text.encode()))
        return f"{text}\n— {self.name} {signature}\n"


def new_key(name: str) -> str:
    """A new signing key for a log of this origin: no blanks, no `+`."""
    private_key = Ed25519PrivateKey.generate()
    key_id = key_id_of(name, private_key.public_key().public_bytes_raw())
    return f"{_PRIVATE}{name}+{key_id.hex()}+{_base64(ED25519 + private_key.private_bytes_raw())}"


def key_id_of(name: str, public_key: bytes, kind: bytes = ED25519) -> bytes:
    """The four bytes by which signature lines name an Ed25519 key of a kind."""
    return sha256(name.encode() + b"\n" + kind + public_key).digest()[:4]


def cosigned(text: bytes, time: int) -> bytes:
    """What a witness signs who has seen a checkpoint's text at a time, in seconds since 1970."""
    return b"cosignature/v1\ntime %d\n%s" % (time, text)


def open_note(note: str, verifiers: Sequence[Verifier]) -> str:
    """The text of a note. NoteRefused unless one of the keys has signed it, or when a signature of one is wrong.

    Signatures of unknown keys are passed over.
    """
    text, signers = read_note(note, verifiers)
    if not signers:
        raise NoteRefused("no known key has signed the note")
    return text


def read_note(note: str, verifiers: Sequence[Verifier]) -> tuple[str, list[Verifier]]:
    """The text of a note, and those of the keys that have signed it. NoteRefused when a signature of one is wrong."""
    text, signatures = split_note(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signers: dict[tuple[str, bytes], Verifier] = {}
    for line in signatures:
        if verifier := known.get(key := _key_of(line)):
            verifier.verify(text.encode(), _signature(line)[1][4:])
            signers[key] = verifier
    return text, list(signers.values())


def split_note(note: str) -> tuple[str, list[str]]:
    """The text of a note, which ends with a line's end, and its signature lines, without theirs."""
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or any(ord(character) < 0x20 for character in note.replace("\n", "")):
        raise NoteRefused("this is not a signed note")
    signatures = lines.removesuffix("\n").split("\n")
    if len(signatures) > SIGNATURES_MAX:
        raise NoteRefused("the note has too many signatures")
    return f"{text}\n", signatures


def line_of(verifier: Verifier, text: str, lines: Sequence[str]) -> str:
    """The signature line of a key among some lines. NoteRefused when there is none, or it did not sign the text.

    Lines of other keys, and what is no signature line, are passed over.
    """
    for line in lines:
        with contextlib.suppress(NoteRefused):
            if _key_of(line) == (verifier.name, verifier.key_id):
                break
    else:
        raise NoteRefused(f"there is no signature of {verifier.name}")
    verifier.verify(text.encode(), _signature(line)[1][4:])
    return line


def with_line(note: str, line: str) -> str:
    """The note with another signature line, in the place of one of the same key if there is one."""
    text, lines = split_note(note)
    merged = {_key_of(other): other for other in lines} | {_key_of(line): line}
    return "".join(f"{part}\n" for part in (text, *merged.values()))


def open_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """The checkpoint of the log whose key this is, from its signed note. NoteRefused unless it is one."""
    checkpoint = parse_checkpoint(open_note(note, [verifier]))
    if checkpoint.origin != verifier.name:
        raise NoteRefused(f"the checkpoint is of {checkpoint.origin}, not of {verifier.name}")
    return checkpoint


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text holds; its extension lines are passed over."""
    lines = text.split("\n")
    root = _bytes(lines[2]) if len(lines) > 3 else None
    if root is None or len(root) != 32 or not lines[0] or not _SIZE(lines[1]) or "" in lines[3:-1] or lines[-1]:
        raise NoteRefused("the note is no checkpoint")
    return Checkpoint(lines[0], int(lines[1]), root)


def size_of(note: str) -> int:
    """The size of the tree that a checkpoint's note is of."""
    return parse_checkpoint(split_note(note)[0]).size


def _signature(line: str) -> tuple[str, bytes]:
    """The name of a signature line, and what it holds: the key's id and the signature. NoteRefused unless it is one."""
    match = _SIGNATURE(line)
    content = _bytes(match[2]) if match else None
    if match is None or content is None or len(content) <= 4:
        raise NoteRefused("a signature line is malformed")
    return match[1], content


def _key_of(line: str) -> tuple[str, bytes]:
    """The name and the id of the key that a signature line is of. NoteRefused unless it is one."""
    name, content = _signature(line)
    return name, content[:4]


def _parse_key(key: str) -> tuple[str, bytes, bytes, bytes]:
    """Name, id, kind and 32 bytes of a key. NoteRefused unless it is one for Ed25519."""
    match = _KEY(key)
    content = _bytes(match[3]) if match else None
    if match is None or content is None or content[:1] not in (ED25519, COSIGNATURE) or len(content) != 33:
        raise NoteRefused("this is no Ed25519 key of a note")
    return match[1], bytes.fromhex(match[2]), content[:1], content[1:]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes | None:
    """What standard base64 says, in its one right form."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if _base64(content) == text else None
