"""Everything that is known about a person, for the person (GDPR, articles 15 and 20). It asks both sides."""
