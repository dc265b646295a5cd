"""An example for services downstream, to be copied: a subscriber that neither misses nor repeats an event."""
