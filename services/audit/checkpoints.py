"""What the log has signed: the checkpoint's signature, its witnesses, and that it continues an older one."""

import base64
from datetime import UTC, datetime

from services.audit.findings import Check, CouldNotCheck
from services.audit.sources import CHECKPOINT, NOTE_BYTES_MAX, Files, read_tile
from services.projections.transparency.note import (
    Checkpoint,
    NoteRefused,
    Verifier,
    line_of,
    open_checkpoint,
    split_note,
)
from services.projections.transparency.note import read_note as read_signed
from services.projections.transparency.policy import Policy
from services.projections.transparency.tiles import TILE_WIDTH, Tile, tile_at
from services.projections.transparency.tree import Edge, ProofRefused, Tree, check_consistency, split


def read_note(files: Files) -> str:
    """The log's checkpoint as it is served now. Raises CouldNotCheck."""
    try:
        return files.read(CHECKPOINT, NOTE_BYTES_MAX).decode()
    except UnicodeDecodeError as error:
        raise CouldNotCheck("the checkpoint is not UTF-8") from error


def check_signature(check: Check, note: str, verifier: Verifier) -> Checkpoint | None:
    """The checkpoint, once the log's own key has signed it."""
    try:
        checkpoint = open_checkpoint(note, verifier)
    except NoteRefused as error:
        check.find(
            "checkpoint-not-signed",
            f"The checkpoint is not one that the key of {verifier.name} has signed: {error}. "
            "Either the key is of another log, or what answers is not this log.",
        )
        return None
    check.covered = f"size {checkpoint.size}"
    return checkpoint


def check_witnesses(check: Check, note: str, policy: Policy) -> None:
    """Those witnesses have cosigned the checkpoint that the policy wants."""
    text, lines = split_note(note)
    seen: dict[str, str] = {}
    for name, witness in policy.witnesses.items():
        try:
            _, signers = read_signed(note, [witness.verifier])
        except NoteRefused:
            check.find("cosignature-wrong", f"The cosignature of {name} is not of this checkpoint.", witness=name)
            continue
        if signers:
            seen[name] = _moment(line_of(witness.verifier, text, lines))
    if not policy.reached_by(seen):
        check.find(
            "witnesses-missing",
            f"{len(seen)} of the {len(policy.witnesses)} witnesses have cosigned the checkpoint, which is not enough.",
            witnesses=sorted(seen),
            quorum=policy.quorum,
        )
    check.covered = ", ".join(f"{name} at {moment}" for name, moment in sorted(seen.items()))


def _moment(line: str) -> str:
    """When a witness says that it has signed: the eight bytes behind the key's id, seconds since 1970."""
    seconds = int.from_bytes(base64.b64decode(line.rpartition(" ")[2])[4:12], "big")
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"


def check_consistency_with(check: Check, older: Checkpoint, newer: Checkpoint, files: Files) -> None:
    """The log has only grown since the older checkpoint. The proof is computed here, out of the tiles."""
    if newer.size < older.size:
        check.find(
            "rolled-back",
            f"The log has {newer.size} entries now; it signed {older.size} before.",
            size=newer.size,
            size_before=older.size,
        )
        return
    tree = Tree(newer.size, lambda tile: _tile(files, tile))
    try:
        check_consistency(older.size, older.root, newer.size, newer.root, tree.consistency(older.size))
    except ProofRefused:
        _explain(check, older, newer, files)
    check.covered = f"size {older.size} to size {newer.size}"


def _explain(check: Check, older: Checkpoint, newer: Checkpoint, files: Files) -> None:
    """Why there is no proof: all hashes of entries tell whether the history is another one, or only the tiles are."""
    root_then, root_now = _roots(files, older.size, newer.size)
    if root_now != newer.root:
        said = f"The tiles do not add up to the signed root of size {newer.size}: they prove nothing of the past."
        check.find("tiles-not-signed", said)
    elif root_then != older.root:
        check.find(
            "history-rewritten",
            f"The tiles add up to the signed root of size {newer.size}, but their first {older.size} entries to "
            "another root than the one that was signed before: the log's key has signed two histories.",
            size=newer.size,
            size_before=older.size,
            root_signed_before=older.root.hex(),
            root_by_the_tiles=root_then.hex(),
        )
    else:
        said = "Tiles above level 0 are not what those below them add up to; the history is the one signed before."
        check.find("tile-differs", said)


def _roots(files: Files, then: int, now: int) -> tuple[bytes, bytes]:
    """The roots over the first hashes of entries, and over all of them."""
    edge = Edge()
    root_then = edge.root()
    for number in range(-(-now // TILE_WIDTH)):
        for leaf in split(_tile(files, tile_at(0, number, now))):
            edge.append(leaf)
            if edge.size == then:
                root_then = edge.root()
    return root_then, edge.root()


def check_root(check: Check, checkpoint: Checkpoint, files: Files) -> None:
    """The tiles at the tree's right edge add up to the signed root."""
    if Tree(checkpoint.size, lambda tile: _tile(files, tile)).root() != checkpoint.root:
        check.find("tiles-not-signed", f"The tiles do not add up to the signed root of size {checkpoint.size}.")
    check.covered = f"size {checkpoint.size}, by the tiles at its right edge"


def _tile(files: Files, tile: Tile) -> bytes:
    content = read_tile(files, tile)
    if len(content) != 32 * tile.width:
        raise CouldNotCheck(f"{tile.path} has {len(content)} bytes, not {32 * tile.width}")
    return content
