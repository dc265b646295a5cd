"""What the registry answers about a position of the log, to be compared with what comes out of the entries."""

from collections.abc import Iterator
from typing import Any

from services.audit.findings import CouldNotCheck
from services.audit.requests import Answer, Remote

DIFFERENCES_MAX = 5
"""Told of one answer; where one number is wrong others follow."""


class Registry:
    """A registry as it knew at a position. Raises CouldNotCheck for what it does not answer."""

    def __init__(self, remote: Remote, position: int) -> None:
        self._remote = remote
        self.position = position

    def ask(self, path: str, **params: Any) -> Answer:
        """The answer as of the position, whatever its status. Events that wait for a repair make it no answer."""
        answer = self._remote.get(path, as_of=self.position, **params)
        if parked := answer.headers.get("registry-parked"):
            raise CouldNotCheck(f"{path}: {parked} events wait for a repair in the registry")
        return answer

    def later(self, tag: str) -> list[str]:
        """The types of the events with a tag that the log has by now behind the position."""
        answer = self._remote.get("v1/log/entries", after=self.position, tag=tag)
        return [str(event.get("type")) for event in answer.lines(f"entries with {tag}")]


def differences(folded: Any, answered: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ: the place, what the entries say there, and what the registry says."""
    if isinstance(folded, dict) and isinstance(answered, dict):
        for name in sorted(folded.keys() | answered.keys()):
            yield from differences(folded.get(name), answered.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(folded, list) and isinstance(answered, list) and len(folded) == len(answered):
        for index, (one, other) in enumerate(zip(folded, answered, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif folded != answered or isinstance(folded, bool) != isinstance(answered, bool):
        yield path, folded, answered
