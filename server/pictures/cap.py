"""How many pictures the whole server may ask for in an hour."""

import math
import time
from collections import deque
from collections.abc import Callable

from server.pictures.picture import Fault, PictureError

HOUR = 3600.0


class HourlyCap:
    """Counts requests that may have been billed in the hour before now. In memory: a restart begins anew.

    most: how many there may be. clock: seconds that never go back.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._taken: deque[float] = deque()

    def check(self) -> None:
        """Raises PictureError (OVER_CAP) where there is no room for one more."""
        now = self._clock()
        while self._taken and self._taken[0] <= now - HOUR:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            seconds = math.ceil(self._taken[0] + HOUR - now)
            raise PictureError(
                Fault.OVER_CAP,
                f"All pictures of this hour are drawn. Ask again in {_minutes(seconds)}; your plot is not affected.",
                f"the cap of {self._most} in an hour is reached",
                seconds,
            )

    def take(self) -> float:
        """Counts one. Raises PictureError as `check` does."""
        self.check()
        now = self._clock()
        self._taken.append(now)
        return now

    def give_back(self, taken: float) -> None:
        """Takes back what `take` returned: that request was certainly not billed."""
        if taken in self._taken:  # an hour later it counts no more anyway
            self._taken.remove(taken)


def _minutes(seconds: int) -> str:
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
