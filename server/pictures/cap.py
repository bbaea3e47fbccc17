"""The hourly limit on requests for pictures, for the whole server."""

import math
import time
from collections import deque
from collections.abc import Callable

from server.pictures.picture import Fault, PictureError

HOUR = 3600.0


class HourlyCap:
    """Counts the requests of the last hour, if they may be billed. A restart begins at zero.

    most: the limit. clock: seconds that never go back.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._taken: deque[float] = deque()

    def check(self) -> None:
        """Raise PictureError (OVER_CAP) if the limit is reached."""
        now = self._clock()
        while self._taken and self._taken[0] <= now - HOUR:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            seconds = math.ceil(self._taken[0] + HOUR - now)
            minutes = math.ceil(seconds / 60)
            wait = "a minute" if minutes == 1 else f"{minutes} minutes"
            raise PictureError(
                Fault.OVER_CAP,
                f"This hour's pictures are used up. Ask again in {wait}; your plot is not affected.",
                f"the cap of {self._most} in an hour is reached",
                seconds,
            )

    def take(self) -> float:
        """Count a request and return its time. Raises PictureError as `check` does."""
        self.check()
        now = self._clock()
        self._taken.append(now)
        return now

    def give_back(self, taken: float) -> None:
        """Uncount a request, by the time from `take`, because it was certainly not billed."""
        if taken in self._taken:  # after an hour it no longer counts anyway
            self._taken.remove(taken)
