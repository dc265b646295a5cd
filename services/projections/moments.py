"""Which state of the registry a reader asks for: `as_of` a position of the log or a time, `at` a day."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from contracts.problems import Malformed
from services.log.reader import RECORDED_WITHIN, LogReader
from services.projections.positions import Positions

PARIS = ZoneInfo("Europe/Paris")
"""Days of the contract are days there."""

CLOCKS_AGREE = timedelta(milliseconds=250)
"""The clocks of all writers and readers agree within this."""

_SETTLED = CLOCKS_AGREE + RECORDED_WITHIN
"""A writer that takes its time now records by then, or takes it anew."""

_INSTANT = timedelta(microseconds=1)
"""Recorded times are no finer."""

_LEAP_SECOND = re.compile(r"(?<=T[0-9]{2}:[0-9]{2}:)60(\.[0-9]+)?", re.IGNORECASE)
"""RFC 3339 has it, clocks and recorded times do not."""

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

        Whoever asks for the same moment later gets the same position. Waits until the view has reached it.
        Malformed: neither of the two, or a time to come. Unavailable: a position that does not come in time.
        """
        if _POSITION(as_of):
            position = int(as_of)
            await self._positions.reached(view, position)
            entry = await self._reader.entry(position)
            return Moment(position, self.today() if entry is None else _day(entry.event().recorded_at))
        time = read_time("as_of", as_of, otherwise="neither a position nor")
        if time > self._clock():
            raise Malformed("as_of is a time to come.", as_of=as_of)
        position = await self._settled(time)
        await self._positions.reached(view, position)
        return Moment(position, _day(time))

    async def before(self, time: datetime) -> int | None:
        """The last position recorded before a time; None for a time to come, before which more may be recorded."""
        if time.year == datetime.min.year:
            return 0  # there is nothing before it to ask for
        return None if time > self._clock() else await self._settled(time - _INSTANT)

    async def _settled(self, time: datetime) -> int:
        """The last position recorded by a time, once no other can be recorded by then.

        Recorded times never decrease, so an event behind the time settles it. At the end of the log a group that is
        being committed may have taken an earlier time already, and the next writer's clock may be behind ours.
        """
        head = await self._reader.head()  # first: what was there is seen below, so that nothing slips in between
        position = await self._reader.position_at(time)
        if position < head:
            return position
        ahead = _SETTLED - (self._clock() - time)
        if ahead > timedelta():
            await asyncio.sleep(ahead.total_seconds())
        await self._positions.quiet()
        return await self._reader.position_at(time)


def read_time(parameter: str, text: str, otherwise: str = "not") -> datetime:
    """The time that a parameter gives. Malformed: it is none."""
    try:
        # An offset's plus sign that nobody escaped arrives as a blank. A leap second is the end of the one before it.
        written = _LEAP_SECOND.sub("59.999999", text.replace(" ", "+"), count=1)
        return msgspec.convert(written, _Time).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):  # the offset of a time in year 1 may lead out of the calendar
        detail = f"{parameter} is {otherwise} an RFC 3339 time."
        raise Malformed(detail, errors=[{"detail": detail, "parameter": parameter}]) from None


def _day(time: datetime) -> date:
    return time.astimezone(PARIS).date()
