"""The contract as a small program of its own, to play the registry against.

Written from the text of the contract alone: dictionaries, lists and scans, one rule after the other, each quoted by its
number. It shares no code with the services, so that an error would have to be made twice to pass unseen.
"""
