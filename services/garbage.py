"""When Python looks for cycles of garbage: rarely, since what requests and batches make has none."""

import gc

THRESHOLD = 50_000
"""So many new objects before a look at the young ones (Python: 700). A follower spent a fifth of its time looking."""


def collect_rarely() -> None:
    """From now on; what start-up made stays, and is not looked at any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
