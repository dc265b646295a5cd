"""Which state of the registry a reader asks for: `as_of` a position of the log or a time, `at` a day."""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from contracts.problems import Malformed
from services.log.reader import LogReader
from services.projections.positions import Positions

PARIS = ZoneInfo("Europe/Paris")
"""Days of the contract are days there."""

_POSITION = re.compile("[0-9]{1,19}").fullmatch
_Time = Annotated[datetime, Meta(tz=True)]


class Moment(NamedTuple):
    """The registry as it was known at a position of the log. `day`: the Paris date then."""

    position: int
    day: date


class Moments:
    """Finds what readers ask for. `clock` gives the time, with its zone."""

    def __init__(self, reader: LogReader, positions: Positions, clock: Callable[[], datetime]) -> None:
        self._reader = reader
        self._positions = positions
        self._clock = clock

    def today(self) -> date:
        """The Paris date now."""
        return self._clock().astimezone(PARIS).date()

    async def moment(self, view: str, as_of: str) -> Moment:
        """What `as_of` names: a position, or an RFC 3339 time, which stands for the last position recorded by then.

        Waits until the view has reached it. Malformed: neither of the two, or a time to come.
        """
        if _POSITION(as_of):
            position = int(as_of)
            await self._positions.reached(view, position)
            entry = await self._reader.entry(position)
            return Moment(position, self.today() if entry is None else _day(entry.event().recorded_at))
        time = _time(as_of)
        if time > self._clock():
            raise Malformed("as_of is a time to come.", as_of=as_of)
        position = await self._reader.position_at(time)
        await self._positions.reached(view, position)
        return Moment(position, _day(time))


def _time(as_of: str) -> datetime:
    try:
        # An offset's plus sign that nobody escaped arrives as a blank.
        return msgspec.convert(as_of.replace(" ", "+"), _Time)
    except msgspec.ValidationError:
        raise Malformed("as_of is neither a position nor an RFC 3339 time.", as_of=as_of) from None


def _day(time: datetime) -> date:
    return time.astimezone(PARIS).date()
