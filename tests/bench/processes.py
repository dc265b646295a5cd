"""CPU time of servers, from /proc: all of a process and its descendants, those that have ended too."""

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(*process_ids: int | None) -> float:
    """CPU time of these processes' trees so far, in steps of 10 ms; nan where it is not to be found."""
    try:
        ticks = sum(_ticks(process_id) for process_id in process_ids if process_id is not None)
    except FileNotFoundError:  # no /proc; or it has ended, then its figures are gone
        return float("nan")
    return ticks / TICKS_PER_S if any(process_ids) else float("nan")


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
