"""The public catalogue: certifications, their versions, equivalences between them. Section 3 of the contract.

It has no tables: its facts are a few hundred, found by their tag and kept folded in memory. So it never lags.
"""
