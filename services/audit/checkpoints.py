"""What the log has signed: the checkpoint's signature, its witnesses, and that it continues an older one."""

from collections.abc import Sequence

from services.audit.cosignatures import Witness, cosigned
from services.audit.findings import Check, CouldNotCheck
from services.audit.sources import CHECKPOINT, NOTE_BYTES_MAX, Files, read_tile
from services.projections.transparency.note import Checkpoint, NoteRefused, Verifier, open_checkpoint
from services.projections.transparency.tiles import Tile
from services.projections.transparency.tree import ProofRefused, Tree, check_consistency


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


def check_witnesses(check: Check, note: str, witnesses: Sequence[Witness], quorum: int) -> None:
    """At least so many of the witnesses have cosigned the checkpoint."""
    found, wrong = cosigned(note, witnesses)
    for name in wrong:
        check.find("cosignature-wrong", f"The cosignature of {name} is not of this checkpoint.", witness=name)
    if len(found) < quorum:
        check.find(
            "witnesses-missing",
            f"{len(found)} of the {len(witnesses)} witnesses have cosigned the checkpoint, {quorum} must.",
            witnesses=sorted(found),
            quorum=quorum,
        )
    check.covered = ", ".join(f"{name} at {moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in sorted(found.items()))


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
        proof = tree.consistency(older.size)
        check_consistency(older.size, older.root, newer.size, newer.root, proof)
    except ProofRefused as error:
        if tree.root() != newer.root:
            check.find("tiles-not-signed", f"The tiles do not add up to the signed root of size {newer.size}.")
            return
        check.find(
            "history-rewritten",
            f"The log of size {newer.size} does not begin with the {older.size} entries that it signed before: "
            f"{error}. Both signed checkpoints together prove it to anybody.",
            size=newer.size,
            size_before=older.size,
        )
    check.covered = f"size {older.size} to size {newer.size}"


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
