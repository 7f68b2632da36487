"""From numbers at vertices to colours, over a range that does not flicker."""

from __future__ import annotations

from functools import cache

import numpy as np

# Made for colour-blind eyes; and no body at rest fades into a white page.
_MAP = "cividis"
GREY = (0.72, 0.72, 0.72)
_HALVING = 6.0  # seconds of wall time in which an outgrown range halves


@cache
def colour_table() -> np.ndarray:
    """RGB, 0 to 1, from the bar's low end to its high one, (256, 3)."""
    from matplotlib import colormaps

    table = np.asarray(colormaps[_MAP](np.linspace(0.0, 1.0, 256)))[:, :3].copy()
    table.flags.writeable = False
    return table


def paint(values: np.ndarray, top: float) -> np.ndarray:
    """RGB of finite values between 0 and `top`, (k, 3) of (k,)."""
    table = colour_table()
    place = np.clip(values / top, 0.0, 1.0) * (len(table) - 1)
    return table[np.rint(place).astype(np.intp)]


def grey(n: int) -> np.ndarray:
    """The colour of what has no value, (n, 3)."""
    return np.tile(np.array(GREY), (n, 1))


def round_up(value: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `value` > 0."""
    power = float(10.0 ** np.floor(np.log10(value)))
    return next((k * power for k in (1.0, 2.0, 5.0) if k * power >= value), 10.0 * power)


def round_down(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most `value` > 0."""
    power = float(10.0 ** np.floor(np.log10(value)))
    return next((k * power for k in (5.0, 2.0) if k * power <= value), power)


class Range:
    """The top of a colour bar: at least the largest value of late, and a round number.

    It rises as soon as a value needs it and falls slowly; `least` is what it never falls below.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._peak = 0.0
        self._time = 0.0
        self.top = round_up(least)

    def take(self, largest: float, now: float) -> float:
        """Take up the largest value drawn at wall time `now` [s]; gives the top."""
        fade = 0.5 ** (max(now - self._time, 0.0) / _HALVING)
        self._peak, self._time = max(largest, self._peak * fade, self._least), now
        # Falling only once well below keeps a value near a round number from toggling the bar.
        if self._peak > self.top or self._peak < 0.3 * self.top:
            self.top = round_up(self._peak)
        return self.top
