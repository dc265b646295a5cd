"""The servers of `certibranche up`: PostgreSQL and NATS as child processes in one data folder, for one machine.

A larger installation runs its own servers and names them in the settings; nothing outside this package knows the
difference.
"""


class CannotRun(Exception):
    """What was asked cannot be done on this machine or folder; the message is one line for whoever asked."""
