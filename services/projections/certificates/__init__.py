"""What a certificate says, to whoever holds its number: a fold of its own events, read at each request."""
