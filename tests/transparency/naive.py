"""RFC 6962, section 2.1, word for word: an independent model of the tree, slow and short."""

from collections.abc import Sequence
from hashlib import sha256


def root(entries: Sequence[bytes]) -> bytes:
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    k = _k(len(entries))
    return sha256(b"\1" + root(entries[:k]) + root(entries[k:])).digest()


def inclusion(m: int, entries: Sequence[bytes]) -> list[bytes]:
    if len(entries) == 1:
        return []
    k = _k(len(entries))
    if m < k:
        return [*inclusion(m, entries[:k]), root(entries[k:])]
    return [*inclusion(m - k, entries[k:]), root(entries[:k])]


def consistency(m: int, entries: Sequence[bytes], whole: bool = True) -> list[bytes]:
    if m == len(entries):
        return [] if whole else [root(entries)]
    k = _k(len(entries))
    if m <= k:
        return [*consistency(m, entries[:k], whole), root(entries[k:])]
    return [*consistency(m - k, entries[k:], False), root(entries[:k])]


def _k(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k
