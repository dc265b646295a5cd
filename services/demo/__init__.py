"""`certibranche demo`: the branch's year 2018, posted over HTTP as an HR system would.

The figures are those of the agreement of 8 November 2019; persons, dates and results are invented.
"""
