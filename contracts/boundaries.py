"""What the boundary of a decision says beside tags and types."""

from dataclasses import dataclass

from eventsourcing.dcb.domain import Selector

KEPT = "kept"
"""The attribute of a slice type that names members which the log may keep: nothing but facts makes them what they are.

The next slice of that type with the same boundary goes on from there, with what has come since; so decisions only
read them.
"""

FIXED = "fixed"
"""The attribute of a slice type, True where what it has folded does not change its boundary: nobody need ask again."""


@dataclass
class Unused(Selector):
    """The boundary of an id that the command brings with it: nothing has its tag yet, or the command is refused.

    Who writes only if that is so need not look before.
    """
