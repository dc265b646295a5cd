"""CPU time of servers, from /proc: all of a process and its descendants, those that have ended too."""

import math
import os
from collections.abc import Callable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


ProcessId = Callable[[], int | None]
"""Tells a server's process, None while it has none."""


def cpu_s(process_id: int | None) -> float:
    """CPU time of a process and all below it so far, in steps of 10 ms; nan where it is not to be found."""
    try:
        return math.nan if process_id is None else _ticks(process_id) / TICKS_PER_S
    except FileNotFoundError:  # no /proc; or it has ended, then its figures are gone
        return math.nan


def _ticks(process_id: int) -> int:
    process = Path("/proc") / str(process_id)
    after_name = (process / "stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, after_name[11:15]))  # proc_pid_stat(5): utime, stime, and those of children waited for
    children = [child for task in (process / "task").iterdir() for child in _children(task)]
    return own + sum(_ticks_if_there(int(child)) for child in children)


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def _ticks_if_there(process_id: int) -> int:
    try:
        return _ticks(process_id)
    except (FileNotFoundError, ProcessLookupError):  # it ended between the two looks
        return 0
