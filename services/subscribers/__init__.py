"""Who may do what on NATS, and how a downstream service gets its own part of it."""
