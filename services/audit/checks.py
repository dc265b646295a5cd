"""What is asked for, and the checks that it comes to: what each says, and by what."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from services.audit.findings import Check
from services.projections.transparency.policy import NO_POLICY, Policy

SAMPLE = 20
"""Persons and certificates that are looked at where nobody says how many."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What an auditor asks for.

    vkey: the log's. policy: which witnesses must have cosigned, if any. since: an older checkpoint.
    entries: whether the entries are read, and all that follows from them is checked.
    things: how many persons and certificates are looked at, None for all; persons_asked: whether the auditor said so.
    seed: of the choice among them.
    """

    vkey: str
    policy: Policy = NO_POLICY
    since: str | None = None
    entries: bool = False
    things: int | None = SAMPLE
    persons_asked: bool = False
    seed: int = 0


class Checks(NamedTuple):
    """All of them, in the order in which they are made."""

    signature: Check
    witnesses: Check
    consistency: Check
    tiles: Check
    entries: Check
    form: Check
    rules: Check
    counts: Check
    persons: Check
    certificates: Check

    @property
    def of_entries(self) -> Sequence[Check]:
        return self[4:]

    @property
    def of_answers(self) -> Sequence[Check]:
        return self[7:]


def checks_for(wanted: Wanted) -> Checks:
    """The checks, not made yet. Those that nobody asked for say so."""
    entries = wanted.entries
    checks = Checks(
        Check(
            name="signature",
            title="The log's key has signed the checkpoint",
            how="the signed note (c2sp.org/tlog-checkpoint), checked with the key you gave",
        ),
        Check(
            name="witnesses",
            title="Enough witnesses have cosigned it",
            how="cosignatures (c2sp.org/tlog-cosignature), checked with the witnesses' keys and the quorum you gave",
            asked=bool(wanted.policy.witnesses),
        ),
        Check(
            name="consistency",
            title="The log has only grown since your older checkpoint",
            how="a consistency proof (RFC 6962), computed here from the tiles",
            asked=wanted.since is not None,
        ),
        Check(
            name="tiles",
            title="The tiles add up to the signed root",
            how="the tiles at the tree's right edge, hashed here",
        ),
        Check(
            name="entries",
            title="Every entry is the one that was signed",
            how="each entry hashed here, compared with the level 0 tile, with all tiles above it and the signed root",
            asked=entries,
        ),
        Check(
            name="form",
            title="Every entry has the contract's form, all are in order, and none is there twice",
            how="each entry parsed and written again in the form of RFC 8785 (section 6 of the contract)",
            asked=entries,
        ),
        Check(
            name="rules",
            title="The log contains nothing that the rules would refuse",
            how="each fact asked for again as it was posted, and decided on the log before it and the Paris date of "
            "its recordedtime (section 2 of the contract)",
            asked=entries,
        ),
        Check(
            name="counts",
            title="The registry counts what the log says",
            how="all entries counted here, compared with the registry's counts of every year and branch",
            asked=entries,
        ),
        Check(
            name="persons",
            title="The registry says of persons what the log says",
            how="their entries folded here, compared with the registry's answers",
            asked=entries and wanted.persons_asked,
        ),
        Check(
            name="certificates",
            title="The registry says of certificates what the log says",
            how="their entries folded here, compared with the registry's answers",
            asked=entries,
        ),
    )
    if not wanted.policy.witnesses:
        checks.witnesses.leave_out("not asked for (--witness, --policy): who shows others another history is not seen")
    if wanted.since is None:
        checks.consistency.leave_out("not asked for (--since): a history rewritten and signed again is not seen")
    if not entries:
        for check in checks.of_entries:
            check.leave_out("not asked for (--entries)")
    return checks
