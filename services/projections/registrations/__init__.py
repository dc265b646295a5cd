"""What became of a registration: a fold of its own events, read from the log at each request."""
