"""What the boundary of a decision says beside tags and types."""

from dataclasses import dataclass

from eventsourcing.dcb.domain import Selector


@dataclass
class Unused(Selector):
    """The boundary of an id that the command brings with it: nothing has its tag yet, or the command is refused.

    Who writes only if that is so need not look before.
    """
