"""The events of a person, under every id the person has had."""
