"""View `counts`: what the branch counts, year by year, now and as of any position. Section 4.2 of the contract."""
