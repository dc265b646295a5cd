"""How far a person is from each certification in force: what is held, what an equivalence gives, what is missing."""
